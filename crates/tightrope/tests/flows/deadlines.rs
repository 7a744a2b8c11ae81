//! Requests that have only so much time, on real sockets.

use std::{
    convert::Infallible,
    num::{NonZeroU32, NonZeroUsize},
    pin::Pin,
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Frame};
use tightrope::{
    balance::{Balance, Context, FirstAvailable, Queue},
    proxy::{Forward, ForwardBody, ForwardConfig},
    retry::{RetryLayer, attempt},
    upstream::{Change, Failed, Failure, Upstream},
};
use tightrope_test::Origin;
use tower::{Layer, ServiceExt};

use super::world::{soon, spec};

/// A body of which nothing ever comes.
struct Stalls;

impl Body for Stalls {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

const SHORT: Duration = Duration::from_millis(100);

async fn send(
    layer: RetryLayer,
    upstream: &Upstream,
    path: &str,
) -> Result<Response<ForwardBody>, Failure> {
    let request = Request::get(path).header("host", "app.test");
    send_request(layer, upstream, request.body(Empty::new()).unwrap()).await
}

async fn send_request<B>(
    layer: RetryLayer,
    upstream: &Upstream,
    request: Request<B>,
) -> Result<Response<ForwardBody>, Failure>
where
    B: Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    let forward = Forward::new(ForwardConfig::new());
    let queue = Queue::new(NonZeroUsize::MIN, Duration::MAX);
    let balance = Balance::new(upstream, FirstAvailable::new(), forward)
        .with_queue(queue)
        .with_context(|request: &Request<_>| Context::new().with_attempt(attempt(request)));
    let sent = soon(layer.layer(balance).oneshot(request)).await;
    sent.map_err(|error| error.failure())
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_left_for_another_and_blamed() {
    let (hangs, good) = (Origin::start("hangs").await, Origin::start("good").await);
    good.open_gate();
    let upstream = Upstream::new("app");
    let change = Change::new().add(spec(&hangs)).add(spec(&good));
    upstream.apply(change).unwrap();
    let layer = RetryLayer::new().with_attempt_timeout(SHORT);
    let response = send(layer, &upstream, "/gate").await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "good");
    soon(hangs.open_becomes(0)).await;
    let snapshot = upstream.snapshot();
    let failed = [0, 1].map(|n| snapshot.members()[n].record().totals().failed);
    assert_eq!(failed, [1, 0]);
}

#[tokio::test]
async fn a_body_that_takes_too_long_is_cut_off() {
    let origin = Origin::start("origin").await;
    let upstream = Upstream::new("app");
    upstream.apply(Change::new().add(spec(&origin))).unwrap();
    let layer = RetryLayer::new().with_timeout(SHORT);
    let response = send(layer, &upstream, "/stream").await.unwrap();
    let body = soon(response.into_body().collect()).await;
    assert_eq!(body.unwrap_err().failure(), Failure::BodyTimeout);
    soon(origin.open_becomes(0)).await;
    let snapshot = upstream.snapshot();
    let record = snapshot.members()[0].record();
    assert_eq!((record.in_flight(), record.totals().failed), (0, 0));
}

#[tokio::test]
async fn a_client_that_does_not_send_its_request_is_what_took_the_time() {
    let origin = Origin::start("origin").await;
    let upstream = Upstream::new("app");
    upstream.apply(Change::new().add(spec(&origin))).unwrap();
    let layer = RetryLayer::new();
    for layer in [
        layer.clone().with_timeout(SHORT),
        layer.with_attempt_timeout(SHORT),
    ] {
        let request = Request::post("/echo").header("host", "app.test");
        let sent = send_request(layer, &upstream, request.body(Stalls).unwrap());
        assert_eq!(sent.await.unwrap_err(), Failure::DownstreamTimeout);
    }
    let snapshot = upstream.snapshot();
    let totals = snapshot.members()[0].record().totals();
    assert_eq!((totals.failed, totals.cancelled), (0, 2));
}

#[tokio::test]
async fn who_waits_for_room_when_its_time_is_over_gives_up_its_place() {
    let origin = Origin::start("origin").await;
    let upstream = Upstream::new("app");
    let full = spec(&origin).with_max_in_flight(NonZeroU32::MIN);
    upstream.apply(Change::new().add(full)).unwrap();
    let held = send(RetryLayer::new(), &upstream, "/stream").await.unwrap();
    let layer = RetryLayer::new().with_timeout(SHORT);
    let late = send(layer, &upstream, "/").await;
    assert_eq!(late.unwrap_err(), Failure::HeadTimeout);
    assert_eq!(origin.requests(), 1);
    origin.open_gate();
    held.into_body().collect().await.unwrap();
    let snapshot = upstream.snapshot();
    let record = snapshot.members()[0].record();
    assert_eq!((record.in_flight(), record.totals().failed), (0, 0));
}
