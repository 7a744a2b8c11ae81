//! Whatever happens, no more is sent than may be.

use std::time::Duration;

use http::{Method, Request};
use proptest::prelude::*;
use tightrope_retry::{Backoff, Budget, Hedge, RetryLayer};
use tightrope_upstream::Failure;

use crate::world::{
    Piece::{self, Data, Fail, Trailers, Wait},
    Read, Step, Then, World, answer, lose, nobody, pieces, refuse,
};

fn step() -> impl Strategy<Value = Step> {
    let then = prop_oneof![
        Just(answer(200)),
        Just(answer(404)),
        Just(answer(503)),
        Just(refuse()),
        Just(nobody()),
        Just(lose(Failure::Reset)),
        Just(lose(Failure::HeadTimeout)),
        Just(lose(Failure::Stale)),
        Just(lose(Failure::Protocol)),
    ];
    let read = prop_oneof![(0_usize..4).prop_map(Read::Frames), Just(Read::All)];
    let after = prop_oneof![Just(0_u64), 1_u64..200];
    (then, read, after).prop_map(|(step, read, after)| Step {
        queued: Duration::ZERO,
        after: Duration::from_millis(after),
        // What was never sent was not read.
        read: match step.then {
            Then::Refuse => Read::Frames(0),
            _ => read,
        },
        then: step.then,
    })
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "bc", "def"]).prop_map(Data),
        2 => Just(Wait),
        1 => Just(Fail),
    ]
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![Method::GET, Method::PUT, Method::POST])
}

/// Everything that a case is made of.
#[derive(Clone, Debug)]
struct Case {
    script: Vec<Step>,
    body: Vec<Piece>,
    method: Method,
    endpoints: usize,
    attempts: usize,
    limit: usize,
    hedge: Option<u64>,
    backoff: bool,
    retries: u32,
    /// After this many milliseconds the future is dropped.
    patience: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let script = prop::collection::vec(step(), 1..8);
    let body = prop::collection::vec(piece(), 0..6);
    let rest = (
        1_usize..5,
        0_usize..5,
        prop::sample::select(vec![0_usize, 3, 100]),
        prop::option::of(0_u64..100),
        any::<bool>(),
        prop::sample::select(vec![0_u32, 1, 100]),
        prop_oneof![Just(100_000_u64), 0_u64..300],
    );
    (script, body, method(), rest).prop_map(|(script, mut body, method, rest)| {
        body.push(Trailers);
        let (endpoints, attempts, limit, hedge, backoff, retries, patience) = rest;
        Case {
            script,
            body,
            method,
            endpoints,
            attempts,
            limit,
            hedge,
            backoff,
            retries,
            patience,
        }
    })
}

/// What the body is as text, as far as it comes.
fn text(body: &[Piece]) -> String {
    let pieces = body.iter().take_while(|piece| !matches!(piece, Fail));
    pieces
        .map(|piece| match piece {
            Data(data) => data,
            Trailers => "[1]",
            Wait | Fail => "",
        })
        .collect()
}

async fn check(case: Case) {
    let world = World::with_endpoints(case.endpoints, case.script.clone());
    let reserve = Budget::new(0).and_then(|budget| budget.with_reserve(case.retries));
    let budget = reserve.expect("a budget");
    let held = budget.available();
    let backoff = Backoff::new(Duration::from_millis(9), Duration::from_millis(40));
    let layer = RetryLayer::new()
        .with_attempts(case.attempts)
        .with_body_limit(case.limit)
        .with_budget(budget.clone())
        .with_backoff(
            case.backoff
                .then(|| backoff.expect("a backoff").with_seed(1)),
        )
        .with_hedge(case.hedge.map(|ms| Hedge::after(Duration::from_millis(ms))));
    let mut request = Request::new(pieces(case.body.clone()));
    *request.method_mut() = case.method.clone();
    let patience = Duration::from_millis(case.patience);
    let sent = tokio::time::timeout(patience, world.send(layer, request)).await;

    // Nothing is left, and nothing more comes.
    assert_eq!(world.in_flight(), 0);
    let seen = world.seen();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(world.seen(), seen);

    // Those that went somewhere.
    let picked: Vec<_> = seen.iter().filter(|seen| seen.endpoint.is_some()).collect();
    assert!(picked.len() <= case.attempts.max(1), "{seen:?}");
    let whole = text(&case.body);
    for seen in &picked {
        assert!(whole.starts_with(&seen.body), "{seen:?} of {whole}");
    }
    let mut script = case.script.iter();
    let mut last = None;
    let mut maybe_sent = 0;
    let mut went = Vec::new();
    let mut stale = Vec::new();
    for seen in &seen {
        let step = script.next().or(last).expect("a script has a step");
        last = Some(step);
        let Some(endpoint) = seen.endpoint else {
            continue;
        };
        // Elsewhere each time, except after a stale connection.
        assert!(!went.contains(&endpoint) || stale.contains(&endpoint));
        went.push(endpoint);
        match step.then {
            Then::Refuse => {}
            Then::Lose(Failure::Stale) => {
                stale.push(endpoint);
                maybe_sent += 1;
            }
            _ => maybe_sent += 1,
        }
    }
    if case.method == Method::POST {
        assert!(maybe_sent <= 1, "{seen:?}");
    }
    // Whole bodies only, where the answer is good.
    if let Ok(Ok(200 | 404)) = sent
        && !case.body.iter().any(|piece| matches!(piece, Fail))
    {
        let answered = picked.iter().any(|seen| seen.body == whole);
        let read_all = case.script.iter().all(|step| step.read == Read::All);
        assert!(answered || !read_all, "{seen:?} of {whole}");
    }
    // Each attempt but the first was paid for, unless the one before was never sent or stale.
    let paid = usize::try_from(held).expect("few");
    let free = maybe_sent.min(1) + stale.len();
    assert!(maybe_sent <= free + paid, "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_more_is_sent_than_may_be(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(check(case));
    }

    #[test]
    fn a_budget_is_never_overdrawn(
        percent in 0_u32..=100,
        reserve in 0_u32..4,
        steps in prop::collection::vec((0_u64..3, 0_u64..4000), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let budget = Budget::new(percent).and_then(|budget| budget.with_reserve(reserve));
            let budget = budget.expect("a budget");
            // In hundredths, each with the second that it was paid in: the reference keeps all.
            let mut paid = vec![(0_u64, 0_u64)];
            let start = tokio::time::Instant::now();
            for (what, wait) in steps {
                let now = start.elapsed().as_secs() + 10;
                let good = now.saturating_sub(9);
                let opened = paid.iter().map(|&(second, _)| second).max().unwrap_or(0);
                for second in opened + 1..=now {
                    paid.push((second, u64::from(reserve) * 100));
                }
                paid.retain(|&(second, _)| second >= good);
                let held: u64 = paid.iter().map(|&(_, units)| units).sum();
                assert_eq!(budget.available(), held / 100);
                if what == 0 {
                    assert_eq!(budget.withdraw(), held >= 100);
                    let mut missing = if held >= 100 { 100 } else { 0 };
                    for (_, units) in &mut paid {
                        let part = missing.min(*units);
                        *units -= part;
                        missing -= part;
                    }
                } else {
                    budget.deposit();
                    paid.push((now, u64::from(percent)));
                }
                if what == 2 {
                    tokio::time::advance(Duration::from_millis(wait)).await;
                }
            }
        });
    }
}
