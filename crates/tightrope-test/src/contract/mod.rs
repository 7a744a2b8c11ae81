//! Rules that every service of the project keeps, whatever it does.
//!
//! Each check is given what builds the service around a [`Probe`], drives it through its public
//! face and panics where a rule is broken.
//!
//! ```
//! use tightrope_test::contract;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // The plainest service that keeps them: the probe itself.
//! contract::readiness_comes_before_call(|probe| probe, || ()).await;
//! contract::clones_are_independent(|probe| probe, || ()).await;
//! contract::errors_pass_through(|probe| probe, || (), |error| Some(error)).await;
//! # }
//! ```

use std::{future::poll_fn, pin::pin, task::Poll};

use tightrope_upstream::Record;
use tower_service::Service;

pub use self::probe::{Probe, ProbeError, ProbeFuture};

mod probe;

/// The inner service is called only once it said that it is ready, each clone of it for itself,
/// and nothing is answered while it does not.
///
/// # Panics
/// The rule is broken.
pub async fn readiness_comes_before_call<S, R>(
    build: impl FnOnce(Probe) -> S,
    request: impl Fn() -> R,
) where
    S: Service<R>,
{
    let probe = Probe::new();
    let mut service = build(probe.clone());
    for _ in 0..3 {
        let before = probe.calls();
        probe.refuse();
        {
            let mut answer = pin!(answer(&mut service, request()));
            assert!(poll_once(answer.as_mut()).await.is_none());
            assert_eq!(probe.calls(), before, "called before it was ready");
            probe.admit();
            probe.succeed();
            assert!(
                answer.await.is_ok(),
                "failed where the inner service did not"
            );
        }
        assert!(probe.calls() > before, "answered without the inner service");
    }
}

/// What is done with one clone does not touch another: a clone has its own readiness, and one that
/// waits or is dropped holds up none.
///
/// # Panics
/// The rule is broken.
pub async fn clones_are_independent<S, R>(build: impl FnOnce(Probe) -> S, request: impl Fn() -> R)
where
    S: Service<R> + Clone,
{
    let probe = Probe::new();
    probe.succeed();
    let mut first = build(probe.clone());
    assert!(poll_fn(|cx| first.poll_ready(cx)).await.is_ok());
    let mut second = first.clone();
    // The probe panics where a clone of it is called by the readiness of another.
    assert!(answer(&mut second, request()).await.is_ok());
    assert!(first.call(request()).await.is_ok());

    probe.hold();
    let mut third = second.clone();
    {
        let mut held = pin!(answer(&mut third, request()));
        assert!(poll_once(held.as_mut()).await.is_none());
        probe.succeed_from_now();
        assert!(answer(&mut second, request()).await.is_ok());
        assert!(poll_once(held.as_mut()).await.is_none());
    }
    drop(third);
    assert!(answer(&mut second, request()).await.is_ok());
}

/// A future that is dropped gives back its place on the endpoint, whether it was polled or not.
///
/// `record` is that of the endpoint which every request is sent to.
///
/// # Panics
/// The rule is broken, or the endpoint has something in flight before.
pub async fn dropping_the_future_gives_back_the_pick<S, R>(
    build: impl FnOnce(Probe) -> S,
    request: impl Fn() -> R,
    record: &Record,
) where
    S: Service<R>,
{
    assert_eq!(record.in_flight(), 0);
    let probe = Probe::new();
    probe.hold();
    let mut service = build(probe.clone());
    {
        let mut held = pin!(answer(&mut service, request()));
        assert!(poll_once(held.as_mut()).await.is_none());
        assert_eq!(
            record.in_flight(),
            1,
            "the pick is not kept while the inner service works"
        );
    }
    assert_eq!(record.in_flight(), 0, "the pick outlives the future");
    assert!(poll_fn(|cx| service.poll_ready(cx)).await.is_ok());
    drop(service.call(request()));
    assert_eq!(
        record.in_flight(),
        0,
        "a pick outlives a future that was never polled"
    );
    drop(service);
    assert_eq!(record.in_flight(), 0, "a pick outlives the service");
}

/// An error of the inner service comes out as it is; `inner` takes it out of the wrapping, if any.
///
/// # Panics
/// The rule is broken.
pub async fn errors_pass_through<S, R>(
    build: impl FnOnce(Probe) -> S,
    request: impl Fn() -> R,
    inner: impl Fn(S::Error) -> Option<ProbeError>,
) where
    S: Service<R>,
{
    let probe = Probe::new();
    let mut service = build(probe.clone());
    for number in [1, 2, 3] {
        probe.fail(number);
        match answer(&mut service, request()).await {
            Ok(_) => panic!("an error became an answer"),
            Err(error) => assert_eq!(inner(error), Some(ProbeError { number })),
        }
    }
}

async fn answer<S: Service<R>, R>(service: &mut S, request: R) -> Result<S::Response, S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}

/// What the future gives when it is polled once.
async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
