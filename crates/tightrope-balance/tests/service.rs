//! The balancer keeps tower's contract and every pick is given back.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::{Future, Pending, Ready, pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context as Task, Poll, Waker},
};

use tightrope_balance::{
    Balance, BalanceError, BalanceLayer, Context, Describe, LeastRequest, RoundRobin,
    WeightedRandom, nginx,
};
use tightrope_upstream::{
    Change, Endpoint, Failed, Failure, PickError, Picked, TakeUnsent, Unsent, Upstream,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{id, in_flight, number, tried, upstream};

#[derive(Debug, PartialEq, Eq)]
struct Oops(u32);

impl fmt::Display for Oops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oops {}", self.0)
    }
}

impl Error for Oops {}

/// A service that is ready when `open`, and insists on being called only once it said so.
struct Gate {
    open: Arc<AtomicBool>,
    said_ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Gate {
    fn new() -> Self {
        Self {
            open: Arc::default(),
            said_ready: false,
            calls: Arc::default(),
        }
    }
}

impl Clone for Gate {
    fn clone(&self) -> Self {
        Self {
            open: Arc::clone(&self.open),
            said_ready: false,
            calls: Arc::clone(&self.calls),
        }
    }
}

impl Service<Picked<u32>> for Gate {
    type Response = u32;
    type Error = Oops;
    type Future = Ready<Result<u32, Oops>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Oops>> {
        if !self.open.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        self.said_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, picked: Picked<u32>) -> Self::Future {
        assert!(self.said_ready, "called without having been ready");
        self.said_ready = false;
        self.calls.fetch_add(1, Ordering::Relaxed);
        ready(Ok(*picked.request()))
    }
}

fn task() -> Task<'static> {
    Task::from_waker(Waker::noop())
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut task())
}

/// Never answers, and keeps the pick.
async fn hold(picked: Picked<u32>) -> Result<(), Infallible> {
    let _picked = picked;
    pending().await
}

#[test]
fn it_is_ready_when_the_service_inside_is() {
    let gate = Gate::new();
    let open = Arc::clone(&gate.open);
    let mut balance = Balance::new(&upstream(&[1]), RoundRobin::new(), gate);
    assert!(balance.poll_ready(&mut task()).is_pending());
    open.store(true, Ordering::Relaxed);
    assert!(balance.poll_ready(&mut task()).is_ready());
}

#[test]
fn waiting_to_be_ready_takes_no_place() {
    let upstream = upstream(&[1]);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), Gate::new());
    assert!(balance.poll_ready(&mut task()).is_pending());
    assert_eq!(in_flight(&upstream), 0);
}

#[tokio::test]
async fn the_instance_that_was_ready_is_the_one_called() {
    let gate = Gate::new();
    gate.open.store(true, Ordering::Relaxed);
    let mut balance = Balance::new(&upstream(&[1, 1]), RoundRobin::new(), gate);
    for request in 0..4 {
        balance.ready().await.unwrap();
        let mut clone = balance.clone();
        assert_eq!(balance.call(request).await, Ok(request));
        assert_eq!(
            clone.ready().await.unwrap().call(request).await,
            Ok(request)
        );
    }
}

#[tokio::test]
async fn a_service_that_stays_ready_because_nobody_was_picked_is_called_later() {
    let gate = Gate::new();
    gate.open.store(true, Ordering::Relaxed);
    let calls = Arc::clone(&gate.calls);
    let upstream = upstream(&[0]);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), gate);
    let failed = balance.ready().await.unwrap().call(1).await;
    let expected = PickError::Unavailable { members: 1 };
    assert_eq!(failed, Err(BalanceError::Pick(expected)));
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    upstream
        .apply(Change::new().add(crate::support::spec(1, 1)))
        .unwrap();
    assert_eq!(balance.ready().await.unwrap().call(2).await, Ok(2));
}

#[tokio::test]
async fn errors_pass_through_as_they_are() {
    #[derive(Clone)]
    struct Broken;
    impl Service<Picked<u32>> for Broken {
        type Response = ();
        type Error = Oops;
        type Future = Ready<Result<(), Oops>>;
        fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Oops>> {
            Poll::Ready(Err(Oops(1)))
        }
        fn call(&mut self, picked: Picked<u32>) -> Self::Future {
            ready(Err(Oops(*picked.request())))
        }
    }
    let upstream = upstream(&[1]);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), Broken);
    let not_ready = balance.ready().await.map(drop).unwrap_err();
    assert_eq!(not_ready, BalanceError::Inner(Oops(1)));
    let failed = balance.call(2).await.unwrap_err();
    assert_eq!(failed, BalanceError::Inner(Oops(2)));
    let source = failed.source().unwrap().downcast_ref::<Oops>();
    assert_eq!(source, Some(&Oops(2)));
    assert_eq!(in_flight(&upstream), 0);
}

/// An error that gives its request back.
#[derive(Debug)]
struct NotSent(Option<(u32, Arc<Endpoint>)>);

impl Failed for NotSent {
    fn failure(&self) -> Failure {
        Failure::Connect
    }
}

impl TakeUnsent<u32> for NotSent {
    fn take_unsent(&mut self) -> Option<Unsent<u32>> {
        let (request, endpoint) = self.0.take()?;
        Some(Unsent::new(request, endpoint))
    }
}

#[tokio::test]
async fn the_request_of_an_error_can_be_taken_through_it() {
    let refuse = service_fn(|picked: Picked<u32>| {
        let endpoint = Arc::clone(picked.endpoint());
        ready(Err::<(), _>(NotSent(Some((*picked.request(), endpoint)))))
    });
    let mut balance = Balance::new(&upstream(&[1]), RoundRobin::new(), refuse);
    let mut error = balance.call(5).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Connect);
    let unsent = error.take_unsent().unwrap();
    assert_eq!((unsent.request, unsent.endpoint.id()), (5, &id(0)));
    assert!(error.take_unsent().is_none());

    let mut nobody = BalanceError::<NotSent>::Pick(PickError::Empty);
    assert_eq!(nobody.failure(), Failure::Unavailable);
    assert!(TakeUnsent::<u32>::take_unsent(&mut nobody).is_none());
}

#[test]
fn a_response_that_is_dropped_gives_its_place_back() {
    let upstream = upstream(&[1, 1]);
    let mut balance = Balance::new(&upstream, LeastRequest::new(), service_fn(hold));
    let never_polled = balance.call(1);
    let mut polled = Box::pin(balance.call(2));
    assert!(polled.as_mut().poll(&mut task()).is_pending());
    assert_eq!(in_flight(&upstream), 2);
    drop(never_polled);
    assert_eq!(in_flight(&upstream), 1);
    drop(polled);
    assert_eq!(in_flight(&upstream), 0);
}

#[test]
fn a_panic_of_the_service_gives_the_place_back() {
    let upstream = upstream(&[1]);
    let in_call = service_fn(|picked: Picked<u32>| -> Pending<Result<(), Infallible>> {
        let _picked = picked;
        panic!("in call")
    });
    let mut balance = Balance::new(&upstream, RoundRobin::new(), in_call);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(balance.call(1)))).is_err());
    assert_eq!(in_flight(&upstream), 0);

    let in_future = service_fn(|picked: Picked<u32>| async move {
        let _picked = picked;
        tokio::task::yield_now().await;
        panic!("in future");
        #[expect(unreachable_code, reason = "says what the future would give")]
        Ok::<(), Infallible>(())
    });
    let mut balance = Balance::new(&upstream, RoundRobin::new(), in_future);
    let poll = || poll_twice(balance.call(1));
    assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
    assert_eq!(in_flight(&upstream), 0);
    let totals = upstream.snapshot().members()[0].record().totals();
    assert_eq!(totals.cancelled, 2);
}

fn poll_twice<F: Future>(future: F) {
    let mut future = pin!(future);
    let _first = future.as_mut().poll(&mut task()).is_ready();
    let _second = future.as_mut().poll(&mut task()).is_ready();
}

#[test]
fn a_panic_while_a_request_is_described_takes_no_place() {
    let upstream = upstream(&[1]);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), service_fn(hold))
        .with_context(|_: &u32| panic!("described"));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(balance.call(1)))).is_err());
    assert_eq!(in_flight(&upstream), 0);
}

/// Answers with the number of the endpoint.
fn answer<R>(picked: Picked<R>) -> Ready<Result<usize, Infallible>> {
    let (_, pick) = picked.into_parts();
    ready(Ok(number(&pick)))
}

fn called<C: Describe<R> + Clone, R>(
    balance: &mut Balance<
        tower::util::ServiceFn<fn(Picked<R>) -> Ready<Result<usize, Infallible>>>,
        C,
    >,
    request: R,
) -> usize {
    match poll_once(balance.call(request)) {
        Poll::Ready(answer) => answer.unwrap(),
        Poll::Pending => panic!("it answers at once"),
    }
}

type Answer<R> = fn(Picked<R>) -> Ready<Result<usize, Infallible>>;

#[test]
fn all_services_of_a_layer_and_their_clones_share_one_picker() {
    let layer = BalanceLayer::new(&upstream(&[1, 1, 1]), RoundRobin::new());
    let mut one = layer.layer(service_fn(answer as Answer<u32>));
    let mut other = layer.clone().layer(service_fn(answer as Answer<u32>));
    let mut clone = one.clone();
    let mut turn = || {
        [
            called(&mut one, 0),
            called(&mut other, 0),
            called(&mut clone, 0),
        ]
    };
    assert_eq!(turn(), [0, 1, 2]);
    assert_eq!(turn(), [0, 1, 2]);
}

#[test]
fn a_layer_draws_from_the_seed_it_was_given() {
    let upstream = upstream(&[1; 100]);
    let draws = || {
        let layer = BalanceLayer::new(&upstream, WeightedRandom::new()).with_seed(9);
        let mut balance = layer.layer(service_fn(answer as Answer<u32>));
        let draws: Vec<usize> = (0..20).map(|_| called(&mut balance, 0)).collect();
        draws
    };
    assert_eq!(draws(), draws());
}

struct Request {
    user: String,
    attempt: tightrope_upstream::Attempt,
}

impl Request {
    fn of(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            attempt: tightrope_upstream::Attempt::first(),
        }
    }
}

#[test]
fn a_closure_tells_of_requests_by_reference() {
    let upstream = upstream(&[1; 10]);
    let layer = BalanceLayer::new(&upstream, nginx::KeyHash::new()).with_context(|r: &Request| {
        Context::new()
            .with_key(r.user.as_bytes())
            .with_attempt(&r.attempt)
    });
    let mut balance = layer.layer(service_fn(answer as Answer<Request>));
    let home = called(&mut balance, Request::of("ann"));
    assert_eq!(called(&mut balance, Request::of("ann")), home);
    let mut again = Request::of("ann");
    again.attempt = tried(&[home]);
    assert_ne!(called(&mut balance, again), home);

    let mut same = Balance::new(
        &upstream,
        nginx::KeyHash::new(),
        service_fn(answer as Answer<Request>),
    )
    .with_context(|r: &Request| Context::new().with_key(r.user.as_bytes()));
    assert_eq!(called(&mut same, Request::of("ann")), home);
}

#[test]
fn a_type_of_ones_own_tells_of_requests_of_many_types() {
    #[derive(Clone)]
    struct Text;
    impl<R: AsRef<[u8]>> Describe<R> for Text {
        fn describe<'r>(&self, request: &'r R) -> Context<'r> {
            Context::new().with_key(request.as_ref())
        }
    }
    let layer = BalanceLayer::new(&upstream(&[1; 10]), nginx::KeyHash::new()).with_describe(Text);
    let mut texts: Balance<_, Text> = layer.layer(service_fn(answer as Answer<String>));
    let mut bytes: Balance<_, Text> = layer.layer(service_fn(answer as Answer<Vec<u8>>));
    for key in ["a", "b", "c", "d"] {
        let home = called(&mut texts, key.to_owned());
        assert_eq!(called(&mut bytes, key.into()), home, "{key}");
    }
}

#[test]
fn the_service_inside_can_be_reached() {
    let mut balance = Balance::new(&Upstream::new("none"), RoundRobin::new(), 1);
    *balance.get_mut() += 1;
    assert_eq!(*balance.get_ref(), 2);
    assert_eq!(balance.into_inner(), 2);
}

#[test]
fn what_is_printed_for_debugging_stays_short() {
    let balance = Balance::new(&upstream(&vec![1; 1_000]), RoundRobin::new(), ());
    let printed = format!(
        "{balance:?} {:?}",
        BalanceLayer::new(&upstream(&[1]), RoundRobin::new())
    );
    assert!(printed.len() < 1_000, "{printed}");
}
