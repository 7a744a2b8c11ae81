//! Limits on requests in flight, and those who wait for a place.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as Task, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tightrope_balance::{
    Balance, BalanceError, Context, FirstAvailable, LeastRequest, Maglev, NoContext, Queue,
    RoundRobin, Strategy, WhenFull,
};
use tightrope_upstream::{
    Attempt, Change, EndpointSpec, Failed, Failure, Health, Pick, PickError, Picked, Upstream,
};
use tokio::time::Instant;
use tower::{Service, ServiceExt, service_fn, util::ServiceFn};

use crate::support::{STRATEGIES, id, in_flight, number, spec, tried};

fn most(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn queue(places: usize, timeout: Duration) -> Queue {
    Queue::new(NonZeroUsize::new(places).unwrap(), timeout)
}

const SECOND: Duration = Duration::from_secs(1);

/// One endpoint for each limit.
fn limited(limits: &[u32]) -> Upstream {
    let upstream = Upstream::new("limited");
    let specs = limits.iter().enumerate();
    let specs = specs.map(|(n, &limit)| spec(n, 1).with_max_in_flight(most(limit)));
    upstream.apply(Change::new().replace(specs)).unwrap();
    upstream
}

/// Answers with the pick, so that the test decides how long it is in flight.
type Keep = ServiceFn<fn(Picked<u32>) -> std::future::Ready<Result<Pick, Infallible>>>;

fn keep() -> Keep {
    service_fn(|picked: Picked<u32>| {
        let (_, pick) = picked.into_parts();
        std::future::ready(Ok(pick))
    })
}

type Answer = Result<Pick, BalanceError<Infallible>>;

/// Starts one request; it runs until it is answered.
fn send(balance: &Balance<Keep>, request: u32) -> tokio::task::JoinHandle<Answer> {
    let mut balance = balance.clone();
    tokio::spawn(async move { balance.ready().await?.call(request).await })
}

/// Lets all tasks go on until they wait.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

fn refused(answer: Answer) -> PickError {
    match answer.unwrap_err() {
        BalanceError::Pick(error) => error,
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn who_follows_an_attempt_learns_where_it_goes_as_soon_as_that_is_chosen() {
    let upstream = limited(&[1]);
    let keep = service_fn(|picked: Picked<Attempt>| {
        let (_, pick) = picked.into_parts();
        std::future::ready(Ok::<_, Infallible>(pick))
    });
    let mut balance = Balance::new(&upstream, RoundRobin::new(), keep)
        .with_queue(queue(1, SECOND))
        .with_context(|attempt: &Attempt| Context::new().with_attempt(attempt));
    let (first, to) = Attempt::first().followed();
    let answer = balance.call(first);
    assert_eq!(to.endpoint(), Some(&id(0)));
    let pick = answer.await.unwrap();
    // The next one waits.
    let (second, to) = Attempt::first().followed();
    let mut answer = Box::pin(balance.call(second));
    let mut task = Task::from_waker(Waker::noop());
    assert!(answer.as_mut().poll(&mut task).is_pending());
    assert_eq!(to.endpoint(), None);
    // To see what would be picked is no pick.
    let (asked, nowhere) = Attempt::first().followed();
    balance.explain(&asked);
    assert_eq!(nowhere.endpoint(), None);
    drop(pick);
    drop(answer.await.unwrap());
    assert_eq!(to.endpoint(), Some(&id(0)));
}

#[test]
fn nobody_gets_more_than_its_limit_and_others_take_what_is_over() {
    let upstream = limited(&[1, 2, 3]);
    for (name, strategy) in STRATEGIES {
        let mut balance = Balance::new(&upstream, strategy(), ()).with_seed(1);
        let context = Context::new()
            .with_key(b"key")
            .with_client([10, 0, 0, 7].into());
        let picks: Vec<Pick> = (0..6)
            .map(|_| {
                balance
                    .pick(&context)
                    .unwrap_or_else(|error| panic!("{name}: {error}"))
            })
            .collect();
        let mut got = [0; 3];
        for pick in &picks {
            got[number(pick)] += 1;
        }
        assert_eq!(got, [1, 2, 3], "{name}");
        let error = balance.pick(&context).unwrap_err();
        assert_eq!(error, PickError::Full { available: 3 }, "{name}");
        drop(picks);
        assert_eq!(in_flight(&upstream), 0);
    }
}

#[test]
fn a_thousand_full_endpoints_are_found_full_and_the_one_with_room_is_found() {
    let upstream = limited(&[1; 1000]);
    for (name, strategy) in STRATEGIES {
        let mut balance = Balance::new(&upstream, strategy(), ()).with_seed(1);
        let context = Context::new()
            .with_key(b"key")
            .with_client([10, 0, 0, 7].into());
        let mut picks: VecDeque<Pick> = (0..1000)
            .map(|_| {
                balance
                    .pick(&context)
                    .unwrap_or_else(|error| panic!("{name}: {error}"))
            })
            .collect();
        let error = balance.pick(&context).unwrap_err();
        assert_eq!(error, PickError::Full { available: 1000 }, "{name}");
        let free = number(&picks.pop_front().unwrap());
        assert_eq!(number(&balance.pick(&context).unwrap()), free, "{name}");
    }
}

#[test]
fn full_is_ours_and_says_nothing_against_the_endpoint() {
    let upstream = limited(&[1]);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), ());
    let _pick = balance.pick(&Context::new()).unwrap();
    let error = balance.pick(&Context::new()).unwrap_err();
    assert_eq!(error.failure(), Failure::Unavailable);
    assert_eq!(error.to_string(), "all 1 available endpoints are full");
    assert_eq!(upstream.snapshot().available(), [0]);
    let totals = upstream.snapshot().members()[0].record().totals();
    assert_eq!((totals.failed, totals.cancelled), (0, 0));
}

#[test]
fn the_limit_of_the_upstream_holds_for_all_of_its_members_and_balancers() {
    let upstream = crate::support::upstream(&[1, 1]);
    upstream
        .apply(Change::new().limit_in_flight(Some(most(3))))
        .unwrap();
    assert_eq!(upstream.snapshot().max_in_flight(), Some(most(3)));
    let mut one = Balance::new(&upstream, RoundRobin::new(), ());
    let mut other = Balance::new(&upstream, LeastRequest::new(), ());
    let context = Context::new();
    let first = one.pick(&context).unwrap();
    let _others = [other.pick(&context).unwrap(), one.pick(&context).unwrap()];
    assert_eq!(upstream.in_flight(), 3);
    assert_eq!(one.pick(&context).unwrap_err(), PickError::UpstreamFull);
    assert_eq!(other.pick(&context).unwrap_err(), PickError::UpstreamFull);
    drop(first);
    let _again = other.pick(&context).unwrap();
    upstream.apply(Change::new().limit_in_flight(None)).unwrap();
    let _more = one.pick(&context).unwrap();
    assert_eq!(upstream.in_flight(), 3);
    assert_eq!(in_flight(&upstream), 4);
}

#[test]
fn a_lower_limit_lets_what_is_beyond_it_end() {
    let upstream = limited(&[3]);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), ());
    let context = Context::new();
    let mut picks: Vec<Pick> = (0..3).map(|_| balance.pick(&context).unwrap()).collect();
    let lower = spec(0, 1).with_max_in_flight(most(1));
    upstream.apply(Change::new().replace([lower])).unwrap();
    for _ in 0..3 {
        assert!(balance.pick(&context).is_err());
        picks.pop();
    }
    assert!(balance.pick(&context).is_ok());
    upstream.apply(Change::new().replace([spec(0, 1)])).unwrap();
    let _many: Vec<Pick> = (0..9).map(|_| balance.pick(&context).unwrap()).collect();
}

#[test]
fn a_retry_is_told_apart_from_being_full() {
    let upstream = limited(&[1, 1]);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), ());
    let _first = balance.pick(&Context::new()).unwrap();
    let attempt = tried(&[1]);
    let retry = Context::new().with_attempt(&attempt);
    assert_eq!(
        balance.pick(&retry).unwrap_err(),
        PickError::Full { available: 2 }
    );
    let both = tried(&[0, 1]);
    let retry = Context::new().with_attempt(&both);
    assert_eq!(
        balance.pick(&retry).unwrap_err(),
        PickError::Exhausted { available: 2 }
    );
}

#[test]
fn who_is_on_trial_gets_one_at_a_time_and_the_rest_goes_elsewhere() {
    let upstream = crate::support::upstream(&[1, 1]);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), ());
    let trial = Change::new()
        .eject(id(0), "x")
        .try_out(id(0), "its time is over");
    upstream.apply(trial).unwrap();
    let picks: Vec<Pick> = (0..20)
        .map(|_| balance.pick(&Context::new()).unwrap())
        .collect();
    let tried = picks.iter().filter(|pick| number(pick) == 0).count();
    assert_eq!(tried, 1);
    drop(picks);
    let again = (0..2).map(|_| balance.pick(&Context::new()).unwrap());
    assert_eq!(again.filter(|pick| number(pick) == 0).count(), 1);
    upstream
        .apply(Change::new().restore(id(0), "it answered"))
        .unwrap();
    let picks: Vec<Pick> = (0..20)
        .map(|_| balance.pick(&Context::new()).unwrap())
        .collect();
    let back = picks.iter().filter(|pick| number(pick) == 0).count();
    assert_eq!(back, 10);
}

#[test]
fn explained_is_who_is_full() {
    let upstream = limited(&[1, 1]);
    let mut balance = Balance::new(&upstream, FirstAvailable::new(), ());
    let _pick = balance.pick(&Context::new()).unwrap();
    assert_eq!(
        balance.explain(&()).to_string(),
        "upstream limited, generation 1\n  \
           0: available, full, weight 1, 1 in flight\n\
         > 1: available, weight 1, 0 in flight",
    );
}

#[tokio::test(start_paused = true)]
async fn who_came_first_goes_first() {
    let upstream = limited(&[2]);
    let balance = Balance::new(&upstream, RoundRobin::new(), keep()).with_queue(queue(9, SECOND));
    let mut held: VecDeque<Pick> = VecDeque::new();
    for n in 0..2 {
        held.push_back(send(&balance, n).await.unwrap().unwrap());
    }
    let mut waiting: VecDeque<_> = VecDeque::new();
    for n in 2..7 {
        waiting.push_back(send(&balance, n));
        settle().await;
    }
    assert_eq!(balance.waiting(), 5);
    while let Some(first) = waiting.pop_front() {
        assert!(!first.is_finished());
        held.pop_front();
        settle().await;
        assert!(first.is_finished());
        assert!(waiting.iter().all(|behind| !behind.is_finished()));
        held.push_back(first.await.unwrap().unwrap());
        assert_eq!(in_flight(&upstream), 2);
    }
    assert_eq!(balance.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_others_wait_goes_behind_them() {
    let upstream = limited(&[1]);
    let balance = Balance::new(&upstream, RoundRobin::new(), keep()).with_queue(queue(9, SECOND));
    let held = send(&balance, 0).await.unwrap().unwrap();
    let waits = send(&balance, 1);
    settle().await;
    // The place is free, and the one who waits for it was not asked yet.
    drop(held);
    let mut late = balance.clone();
    let late = late.call(2);
    let first = waits.await.unwrap().unwrap();
    drop(first);
    assert_eq!(number(&late.await.unwrap()), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_whole_timeout_fails_then() {
    let upstream = limited(&[1]);
    let balance = Balance::new(&upstream, RoundRobin::new(), keep()).with_queue(queue(9, SECOND));
    let held = send(&balance, 0).await.unwrap().unwrap();
    let began = Instant::now();
    let (one, other) = (send(&balance, 1), send(&balance, 2));
    assert_eq!(refused(one.await.unwrap()), PickError::QueueTimeout(SECOND));
    assert_eq!(began.elapsed().as_millis() / 10, 100);
    let error = refused(other.await.unwrap());
    assert_eq!(error.to_string(), "no endpoint had room within 1s");
    assert_eq!(balance.waiting(), 0);
    drop(held);
    assert!(send(&balance, 3).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_the_queue_is_full_fails_at_once() {
    let upstream = limited(&[1]);
    let balance = Balance::new(&upstream, RoundRobin::new(), keep()).with_queue(queue(2, SECOND));
    let _held = send(&balance, 0).await.unwrap().unwrap();
    let _waiting = [send(&balance, 1), send(&balance, 2)];
    settle().await;
    let began = Instant::now();
    let error = refused(send(&balance, 3).await.unwrap());
    assert_eq!(error, PickError::QueueFull { waiting: 2 });
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_fail_at_once_when_nobody_is_available_any_more() {
    let upstream = limited(&[1]);
    let balance = Balance::new(&upstream, RoundRobin::new(), keep()).with_queue(queue(9, SECOND));
    let _held = send(&balance, 0).await.unwrap().unwrap();
    let waiting = [send(&balance, 1), send(&balance, 2), send(&balance, 3)];
    settle().await;
    let began = Instant::now();
    upstream
        .apply(Change::new().set_health(id(0), Health::Unhealthy, "probe"))
        .unwrap();
    for one in waiting {
        let error = refused(one.await.unwrap());
        assert_eq!(error, PickError::Unavailable { members: 1 });
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_and_a_higher_limit_let_those_in_who_wait() {
    let upstream = limited(&[1]);
    let balance = Balance::new(&upstream, RoundRobin::new(), keep()).with_queue(queue(9, SECOND));
    let held = send(&balance, 0).await.unwrap().unwrap();
    let waiting = [send(&balance, 1), send(&balance, 2), send(&balance, 3)];
    settle().await;
    upstream
        .apply(Change::new().add(spec(1, 1).with_max_in_flight(most(2))))
        .unwrap();
    let [one, two, three] = waiting;
    let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    assert_eq!((number(&one), number(&two)), (1, 1));
    settle().await;
    assert!(!three.is_finished());
    let wider = EndpointSpec::with_max_in_flight(spec(0, 1), most(2));
    upstream
        .apply(Change::new().replace([wider, spec(1, 1).with_max_in_flight(most(2))]))
        .unwrap();
    assert_eq!(number(&three.await.unwrap().unwrap()), 0);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn one_who_gives_up_leaves_its_turn_to_the_next() {
    let upstream = limited(&[1]);
    let balance = Balance::new(&upstream, RoundRobin::new(), keep()).with_queue(queue(9, SECOND));
    let held = send(&balance, 0).await.unwrap().unwrap();
    let first = send(&balance, 1);
    settle().await;
    let second = send(&balance, 2);
    settle().await;
    first.abort();
    settle().await;
    assert_eq!(balance.waiting(), 1);
    drop(held);
    assert!(second.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_who_is_woken_and_gives_up_wakes_the_next() {
    let upstream = limited(&[1]);
    let balance = Balance::new(&upstream, RoundRobin::new(), keep()).with_queue(queue(9, SECOND));
    let held = send(&balance, 0).await.unwrap().unwrap();
    let (first, second) = (send(&balance, 1), send(&balance, 2));
    settle().await;
    // Woken, and gone before it looks.
    drop(held);
    first.abort();
    assert!(second.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_waits_on_the_limit_of_the_upstream_goes_when_somebody_ends() {
    let upstream = crate::support::upstream(&[1, 1]);
    upstream
        .apply(Change::new().limit_in_flight(Some(most(1))))
        .unwrap();
    let balance = Balance::new(&upstream, RoundRobin::new(), keep()).with_queue(queue(9, SECOND));
    let held = send(&balance, 0).await.unwrap().unwrap();
    let waits = send(&balance, 1);
    settle().await;
    assert!(!waits.is_finished());
    drop(held);
    let pick = waits.await.unwrap().unwrap();
    assert_eq!(upstream.in_flight(), 1);
    drop(pick);
    assert_eq!(upstream.in_flight(), 0);
}

/// A key for each of the endpoints, by what the strategy says.
fn keys(balance: &Balance<Keep, fn(&u32) -> Context<'_>>) -> [u32; 2] {
    let of = |n: &str| {
        (0..).find(|key| {
            let explained = balance.explain(key);
            explained.chosen().unwrap().endpoint.id().as_str() == n
        })
    };
    [of("0").unwrap(), of("1").unwrap()]
}

fn by_number(request: &u32) -> Context<'_> {
    const KEYS: [&[u8]; 8] = [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"];
    Context::new().with_key(KEYS[*request as usize])
}

#[tokio::test(start_paused = true)]
async fn a_key_that_stays_waits_for_its_own_and_holds_up_no_other() {
    let upstream = limited(&[1, 1]);
    let balance = Balance::new(&upstream, Maglev::new(), keep())
        .with_describe(by_number as fn(&u32) -> Context<'_>)
        .with_when_full(WhenFull::Stay);
    let [zero, one] = keys(&balance);
    let mut balance = balance.with_queue(queue(9, SECOND));
    let held = balance.call(zero).await.unwrap();
    let mut stays = balance.clone();
    let stays = tokio::spawn(async move { stays.call(zero).await });
    settle().await;
    assert!(!stays.is_finished());
    // Another endpoint's key passes by.
    assert_eq!(number(&balance.call(one).await.unwrap()), 1);
    // Of the same one it goes behind.
    let mut behind = balance.clone();
    let behind = tokio::spawn(async move { behind.call(zero).await });
    settle().await;
    drop(held);
    let first = stays.await.unwrap().unwrap();
    assert_eq!(number(&first), 0);
    assert!(!behind.is_finished());
    // It follows its key when that is served by another.
    upstream
        .apply(Change::new().drain(id(0), "maintenance"))
        .unwrap();
    assert_eq!(number(&behind.await.unwrap().unwrap()), 1);
}

#[test]
fn a_key_that_stays_without_a_queue_fails() {
    let upstream = limited(&[1, 1]);
    let mut balance = Balance::new(&upstream, Maglev::new(), ()).with_when_full(WhenFull::Stay);
    let context = Context::new().with_key(b"key");
    let _held = balance.pick(&context).unwrap();
    assert_eq!(
        balance.pick(&context).unwrap_err(),
        PickError::Full { available: 2 }
    );
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_who_give_up_leak_nothing() {
    let upstream = limited(&[1]);
    upstream
        .apply(Change::new().limit_in_flight(Some(most(1))))
        .unwrap();
    let mut balance =
        Balance::new(&upstream, RoundRobin::new(), keep()).with_queue(queue(200_000, SECOND));
    let held = balance.call(0).await.unwrap();
    let mut waiting = Vec::new();
    for n in 0..100_000 {
        let mut request = Box::pin(balance.call(n));
        let polled = request.as_mut().poll(&mut Task::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        // Some give up while others wait before and behind them, some only at the end.
        match n % 3 {
            0 => drop(request),
            _ => waiting.push(request),
        }
    }
    assert_eq!(balance.waiting(), waiting.len());
    drop(waiting);
    assert_eq!(balance.waiting(), 0);
    drop(held);
    assert_eq!((in_flight(&upstream), upstream.in_flight()), (0, 0));
    assert!(balance.call(1).await.is_ok());
    assert_eq!((in_flight(&upstream), upstream.in_flight()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_forgotten_while_many_come_and_go_at_once() {
    let upstream = limited(&[2, 1]);
    upstream
        .apply(Change::new().limit_in_flight(Some(most(3))))
        .unwrap();
    let most_at_once = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most_at_once));
    let busy = service_fn(move |picked: Picked<u32>| {
        let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..*picked.request() % 4 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, Infallible>(())
        }
    });
    let patience = Duration::from_secs(60);
    let balance =
        Balance::new(&upstream, LeastRequest::new(), busy).with_queue(queue(512, patience));
    let clients = (0..64_u32).map(|client| {
        let mut balance = balance.clone();
        tokio::spawn(async move {
            for n in 0..200 {
                balance
                    .ready()
                    .await
                    .unwrap()
                    .call(client + n)
                    .await
                    .unwrap();
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert!(most_at_once.load(Ordering::SeqCst) <= 3);
    assert_eq!(balance.waiting(), 0);
    assert_eq!((in_flight(&upstream), upstream.in_flight()), (0, 0));
}

proptest! {
    #[test]
    fn an_endpoint_with_room_is_found_and_no_limit_is_passed(
        limits in prop::collection::vec(1_u32..4, 1..8),
        all in prop::option::of(1_u32..12),
        steps in prop::collection::vec(any::<u8>(), 1..60),
        which in 0..STRATEGIES.len(),
    ) {
        let upstream = limited(&limits);
        upstream.apply(Change::new().limit_in_flight(all.map(most))).unwrap();
        let (name, strategy) = STRATEGIES[which];
        check(&upstream, &limits, all, &steps, name, strategy())?;
    }
}

fn check(
    upstream: &Upstream,
    limits: &[u32],
    all: Option<u32>,
    steps: &[u8],
    name: &str,
    strategy: Box<dyn Strategy>,
) -> Result<(), TestCaseError> {
    let mut balance: Balance<(), NoContext> = Balance::new(upstream, strategy, ()).with_seed(1);
    let mut held: Vec<Pick> = Vec::new();
    let sum: u32 = limits.iter().sum();
    let most = all.unwrap_or(sum).min(sum) as usize;
    for &step in steps {
        if step % 3 == 0 && !held.is_empty() {
            drop(held.swap_remove(usize::from(step) % held.len()));
            continue;
        }
        let key = [step];
        let context = Context::new()
            .with_key(&key)
            .with_client([10, 0, step, step].into());
        let picked = balance.pick(&context);
        prop_assert_eq!(picked.is_ok(), held.len() < most, "{}", name);
        held.extend(picked);
        for (n, &limit) in limits.iter().enumerate() {
            let got = held.iter().filter(|pick| number(pick) == n).count();
            prop_assert!(got <= limit as usize, "{name}");
        }
    }
    Ok(())
}
