//! One service per endpoint.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context as Task, Poll, Waker},
    time::Duration,
};

use tightrope_balance::{Balance, BalanceError, Context, RoundRobin, in_flight::PerEndpoint};
use tightrope_upstream::{
    Change, Classify, Endpoint, Failure, Group, Health, Metadata, Outcome, Picked, Upstream, Weight,
};
use tokio::sync::Notify;
use tower::{Service, ServiceExt, service_fn};

use crate::support::{id, in_flight, spec, upstream};

/// The ids and addresses that services were made for, in order.
type Made = Arc<Mutex<Vec<String>>>;

/// A service that answers with the address it was made for; a token in it tells whether it lives.
#[derive(Clone)]
struct Channel {
    address: String,
    _token: Arc<()>,
}

impl Service<u32> for Channel {
    type Response = String;
    type Error = Infallible;
    type Future = Ready<Result<String, Infallible>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        ready(Ok(format!("{request} at {}", self.address)))
    }
}

fn connect(made: &Made, token: &Arc<()>) -> impl Fn(&Arc<Endpoint>) -> Channel + use<> {
    let (made, token) = (Arc::clone(made), Arc::clone(token));
    move |endpoint| {
        let address = endpoint.address().to_string();
        made.lock().unwrap().push(address.clone());
        Channel {
            address,
            _token: Arc::clone(&token),
        }
    }
}

async fn call<S: Service<u32>>(service: &mut S) -> Result<S::Response, S::Error> {
    service.ready().await?.call(7).await
}

#[tokio::test]
async fn each_endpoint_has_one_service_that_all_clones_share() {
    let (made, token) = (Made::default(), Arc::default());
    let upstream = upstream(&[1, 1]);
    let channels = PerEndpoint::new(&upstream, connect(&made, &token));
    let mut balance = Balance::new(&upstream, RoundRobin::new(), channels);
    assert_eq!(made.lock().unwrap().len(), 0); // none before it is needed
    for _ in 0..4 {
        let mut clone = balance.clone();
        assert_eq!(call(&mut balance).await.unwrap(), "7 at 10.0.0.0:80");
        assert_eq!(call(&mut clone).await.unwrap(), "7 at 10.0.0.1:80");
    }
    assert_eq!(*made.lock().unwrap(), ["10.0.0.0:80", "10.0.0.1:80"]);
    assert_eq!(in_flight(&upstream), 0);
}

#[tokio::test]
async fn a_service_is_dropped_when_its_endpoint_leaves() {
    let (made, token) = (Made::default(), Arc::default());
    let upstream = upstream(&[1, 1]);
    let channels = PerEndpoint::new(&upstream, connect(&made, &token));
    let mut balance = Balance::new(&upstream, RoundRobin::new(), channels);
    for _ in 0..2 {
        call(&mut balance).await.unwrap();
    }
    let made_and_here = Arc::strong_count(&token);
    upstream.apply(Change::new().remove(id(0))).unwrap();
    assert_eq!(Arc::strong_count(&token), made_and_here - 1);
    // One that comes back starts with a service of its own.
    upstream.apply(Change::new().add(spec(0, 1))).unwrap();
    for _ in 0..2 {
        call(&mut balance).await.unwrap();
    }
    assert_eq!(made.lock().unwrap().len(), 3);
    drop(balance);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[tokio::test]
async fn another_address_is_another_service_and_nothing_else_is() {
    let (made, token) = (Made::default(), Arc::default());
    let upstream = upstream(&[1]);
    let channels = PerEndpoint::new(&upstream, connect(&made, &token));
    let mut balance = Balance::new(&upstream, RoundRobin::new(), channels);
    call(&mut balance).await.unwrap();
    let changes = Change::new()
        .set_weight(id(0), Weight::MAX)
        .set_group(id(0), Some(Group::new("blue").unwrap()))
        .set_metadata(id(0), Metadata::from_iter([("zone", "a")]))
        .set_health(id(0), Health::Unhealthy, "test");
    upstream.apply(changes).unwrap();
    let well = Change::new().set_health(id(0), Health::Healthy, "test");
    upstream.apply(well).unwrap();
    call(&mut balance).await.unwrap();
    assert_eq!(made.lock().unwrap().len(), 1);

    let count = Arc::strong_count(&token);
    upstream
        .apply(Change::new().replace([spec(9, 1).with_id(id(0))]))
        .unwrap();
    assert_eq!(Arc::strong_count(&token), count - 1);
    assert_eq!(call(&mut balance).await.unwrap(), "7 at 10.0.0.9:80");
}

#[tokio::test]
async fn a_pick_of_somebody_who_left_is_served_and_leaves_nothing_behind() {
    let (made, token) = (Made::default(), Arc::default());
    let upstream = upstream(&[1]);
    let mut channels = PerEndpoint::new(&upstream, connect(&made, &token));
    let mut balance = Balance::new(&upstream, RoundRobin::new(), ());
    let pick = balance.pick(&Context::new()).unwrap();
    upstream.apply(Change::new().remove(id(0))).unwrap();
    let count = Arc::strong_count(&token);
    let answer = channels.call(Picked::new(7, pick)).await;
    assert_eq!(answer.unwrap(), "7 at 10.0.0.0:80");
    assert_eq!(Arc::strong_count(&token), count);
}

/// Ready once it was told so, fails or answers as the request says. Each clone starts unready.
#[derive(Default)]
struct Slow {
    open: Arc<Notify>,
    waiting: Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    ready: bool,
    broken: bool,
}

impl Clone for Slow {
    fn clone(&self) -> Self {
        Self {
            open: Arc::clone(&self.open),
            waiting: None,
            ready: false,
            broken: self.broken,
        }
    }
}

impl Service<u32> for Slow {
    type Response = u32;
    type Error = &'static str;
    type Future = Ready<Result<u32, &'static str>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        if self.broken {
            return Poll::Ready(Err("broken"));
        }
        let open = Arc::clone(&self.open);
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(async move { open.notified().await }));
        std::task::ready!(waiting.as_mut().poll(task));
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        assert!(self.ready, "called without having been ready");
        match request {
            0 => ready(Err("refused")),
            1 => panic!("in call"),
            _ => ready(Ok(request)),
        }
    }
}

type Slows<K> = Balance<PerEndpoint<Box<dyn Fn(&Arc<Endpoint>) -> Slow + Send + Sync>, Slow, K>>;

fn slow(upstream: &Upstream, slow: &Slow) -> Slows<tightrope_balance::in_flight::OkIsSuccess> {
    let slow = slow.clone();
    let make: Box<dyn Fn(&Arc<Endpoint>) -> Slow + Send + Sync> = Box::new(move |_| slow.clone());
    Balance::new(
        upstream,
        RoundRobin::new(),
        PerEndpoint::new(upstream, make),
    )
}

#[tokio::test]
async fn the_service_is_waited_for_with_the_place_taken() {
    let (upstream, service) = (upstream(&[1]), Slow::default());
    let mut balance = slow(&upstream, &service);
    let mut response = Box::pin(balance.ready().await.unwrap().call(5));
    let mut task = Task::from_waker(Waker::noop());
    assert!(response.as_mut().poll(&mut task).is_pending());
    assert_eq!(in_flight(&upstream), 1);
    service.open.notify_one();
    assert_eq!(response.await, Ok(5));
    assert_eq!(in_flight(&upstream), 0);
}

#[tokio::test]
async fn outcomes_are_counted_and_errors_pass_as_they_are() {
    let (upstream, service) = (upstream(&[1]), Slow::default());
    let mut balance = slow(&upstream, &service);
    service.open.notify_one();
    assert_eq!(balance.call(5).await, Ok(5));
    service.open.notify_one();
    assert_eq!(balance.call(0).await, Err(BalanceError::Inner("refused")));
    drop(balance.call(5));
    let broken = Slow {
        broken: true,
        ..Slow::default()
    };
    let mut broken = slow(&upstream, &broken);
    assert_eq!(broken.call(5).await, Err(BalanceError::Inner("broken")));

    let totals = upstream.snapshot().members()[0].record().totals();
    assert_eq!(
        (totals.succeeded, totals.failed, totals.cancelled),
        (1, 2, 1)
    );
    assert_eq!(in_flight(&upstream), 0);
}

#[tokio::test]
async fn a_panic_of_the_service_gives_the_place_back() {
    let (upstream, service) = (upstream(&[1]), Slow::default());
    let mut balance = slow(&upstream, &service);
    service.open.notify_one();
    let mut response = Box::pin(balance.call(1));
    let mut task = Task::from_waker(Waker::noop());
    let poll = || response.as_mut().poll(&mut task).is_ready();
    assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
    drop(response);
    assert_eq!(in_flight(&upstream), 0);
}

#[tokio::test]
async fn a_classify_of_ones_own_tells_the_outcome() {
    #[derive(Clone)]
    struct OddIsBroken;
    impl<E> Classify<u32, E> for OddIsBroken {
        fn classify(&self, result: Result<&u32, &E>) -> Outcome {
            match result {
                Ok(n) if n % 2 == 1 => Outcome::Failure(Failure::Response),
                Ok(_) => Outcome::Success,
                Err(_) => Outcome::Cancelled,
            }
        }
    }
    let upstream = upstream(&[1]);
    let echo = |_: &Arc<Endpoint>| service_fn(|n: u32| ready(Ok::<_, Infallible>(n)));
    let channels = PerEndpoint::new(&upstream, echo).with_classify(OddIsBroken);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), channels);
    for n in 0..5 {
        balance.ready().await.unwrap().call(n).await.unwrap();
    }
    let totals = upstream.snapshot().members()[0].record().totals();
    assert_eq!((totals.succeeded, totals.failed), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_response() {
    let (upstream, service) = (upstream(&[1, 0]), Slow::default());
    let mut balance = slow(&upstream, &service);
    let response = tokio::spawn(balance.call(5));
    tokio::task::yield_now().await;
    let update = upstream.apply(Change::new().drain(id(0), "test")).unwrap();
    let report = update.drained(Duration::from_secs(5)).await;
    assert_eq!(report.remaining, [(id(0), 1)]);
    service.open.notify_one();
    assert_eq!(response.await.unwrap(), Ok(5));
    assert!(update.drained(Duration::from_secs(5)).await.is_complete());
}

#[test]
fn first_requests_on_many_threads_make_one_service_each() {
    let upstream = upstream(&[1; 20]);
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let make = move |_: &Arc<Endpoint>| {
        count.fetch_add(1, Ordering::Relaxed);
        service_fn(|n: u32| ready(Ok::<_, Infallible>(n)))
    };
    let channels = PerEndpoint::new(&upstream, make);
    let balance = Balance::new(&upstream, RoundRobin::new(), channels);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut balance = balance.clone();
            scope.spawn(move || {
                let mut task = Task::from_waker(Waker::noop());
                for n in 0..100 {
                    let response = std::pin::pin!(balance.call(n)).poll(&mut task);
                    assert_eq!(response, Poll::Ready(Ok(n)));
                }
            });
        }
    });
    assert_eq!(calls.load(Ordering::Relaxed), 20);
    assert_eq!(in_flight(&upstream), 0);
}
