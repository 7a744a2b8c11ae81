//! What becomes of an attempt that nobody waits for any more.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{task::Poll, time::Duration};

use crate::support::{BoxError, Origin, data, frames, get, post};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use tightrope_proxy::{Forward, ForwardBody, ForwardConfig, ForwardError};
use tightrope_upstream::{Attempt, Failed, Failure, Patience, TakeUnsent};
use tokio::time::{Instant, advance};

fn forward() -> Forward {
    let never = Duration::MAX;
    let config = ForwardConfig::new().with_connect_timeout(never);
    let config = config.with_body_idle_timeout(never);
    Forward::new(config.with_head_timeout(never))
}

fn patient<B>(mut request: Request<B>, patience: &Patience) -> Request<B> {
    let attempt = Attempt::first().with_patience(patience.clone());
    request.extensions_mut().insert(attempt);
    request
}

/// Polls the call as a retry layer does that gives it up after `until`.
async fn given_up<B, T>(
    origin: &Origin,
    request: Request<B>,
    until: impl Future<Output = T>,
) -> ForwardError
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let patience = Patience::new(None);
    let mut call = Box::pin(origin.call(&forward(), patient(request, &patience)));
    let _kept = tokio::select! {
        biased;
        _ = &mut call => panic!("it has ended"),
        kept = until => kept,
    };
    patience.give_up();
    let polled = std::future::poll_fn(|task| Poll::Ready(call.as_mut().poll(task)));
    let Poll::Ready(Err(error)) = polled.await else {
        panic!("it goes on");
    };
    error
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_did_not_answer_in_time_is_blamed() {
    let origin = Origin::new().await;
    let received = async {
        let mut peer = origin.accept().await;
        peer.until("hello").await;
        peer
    };
    let error = given_up(&origin, post("/", "hello"), received).await;
    assert_eq!(error.failure(), Failure::HeadTimeout);
    assert_eq!(origin.record().totals().failed, 1);
    assert_eq!(origin.record().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_still_sends_is_what_was_waited_for() {
    let origin = Origin::new().await;
    let (sender, body) = frames();
    let request = Request::post("/").header("host", "a").body(body).unwrap();
    let received = async {
        let mut peer = origin.accept().await;
        sender.send(data("part")).await.unwrap();
        peer.until("part\r\n").await;
        origin.settle().await;
        peer
    };
    let error = given_up(&origin, request, received).await;
    assert_eq!(error.failure(), Failure::DownstreamTimeout);
    let totals = origin.record().totals();
    assert_eq!((totals.failed, totals.cancelled), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_comes_back_whose_connection_was_not_made_in_time() {
    let origin = Origin::new().await;
    let patience = Patience::new(None);
    patience.give_up();
    let call = origin.call(&forward(), patient(post("/", "hello"), &patience));
    let mut error = call.await.unwrap_err();
    assert_eq!(error.failure(), Failure::ConnectTimeout);
    let unsent: Option<tightrope_upstream::Unsent<Request<http_body_util::Full<Bytes>>>> =
        error.take_unsent();
    assert!(unsent.is_some());
}

async fn begun(
    origin: &Origin,
    deadline: Instant,
) -> (Response<ForwardBody>, crate::support::Peer) {
    let patience = Patience::new(Some(deadline));
    let forward = forward();
    let call = origin.call(&forward, patient(get("/"), &patience));
    let (response, peer) = tokio::join!(call, async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello")
            .await;
        peer
    });
    (response.unwrap(), peer)
}

#[tokio::test(start_paused = true)]
async fn a_body_ends_at_its_deadline_and_that_speaks_against_nobody() {
    let origin = Origin::new().await;
    for stalls in [true, false] {
        let deadline = Instant::now() + Duration::from_secs(5);
        let (response, mut peer) = begun(&origin, deadline).await;
        let mut body = response.into_body();
        if stalls {
            assert_eq!(
                body.frame().await.unwrap().unwrap().into_data().unwrap(),
                "hello"
            );
        } else {
            // Something is there to be read, but too late.
            advance(Duration::from_secs(5)).await;
        }
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(Instant::now() >= deadline);
        assert_eq!(error.failure(), Failure::BodyTimeout);
        assert!(body.frame().await.is_none());
        assert_eq!(peer.rest().await, "");
    }
    let totals = origin.record().totals();
    assert_eq!((totals.failed, totals.cancelled), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_before_its_deadline_is_whole() {
    let origin = Origin::new().await;
    let deadline = Instant::now() + Duration::from_secs(5);
    let (response, mut peer) = begun(&origin, deadline).await;
    peer.send(&"x".repeat(95)).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), 100);
    assert_eq!(origin.record().totals().succeeded, 1);
}
