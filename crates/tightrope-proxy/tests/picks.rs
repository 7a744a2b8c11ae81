//! Every pick is released exactly once, with the outcome that is true.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use crate::support::{Origin, data, frames, get, pick, record, text};
use http::Request;
use http_body_util::BodyExt;
use tightrope_proxy::Forward;
use tightrope_upstream::{Failed, Failure, Picked, Totals};
use tower_service::Service;

fn totals(succeeded: u64, failed: u64, cancelled: u64) -> (u64, u64, u64) {
    (succeeded, failed, cancelled)
}

fn told(totals: Totals) -> (u64, u64, u64) {
    (totals.succeeded, totals.failed, totals.cancelled)
}

fn assert_released(origin: &Origin, expected: (u64, u64, u64)) {
    assert_eq!(origin.record().in_flight(), 0);
    assert_eq!(told(origin.record().totals()), expected);
}

/// The response to a GET that the endpoint answers with `raw`, on a connection that stays open.
async fn answer(
    origin: &Origin,
    raw: &str,
) -> (
    http::Response<tightrope_proxy::ForwardBody>,
    crate::support::Peer,
) {
    let (response, peer) = tokio::join!(origin.call(&Forward::default(), get("/")), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send(raw).await;
        peer
    });
    (response.unwrap(), peer)
}

#[tokio::test]
async fn at_the_end_of_a_body_of_known_length_before_anybody_polls_on() {
    let origin = Origin::new().await;
    let (response, _peer) = answer(&origin, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(origin.record().in_flight(), 1);
    let mut body = response.into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "ok"
    );
    assert_released(&origin, totals(1, 0, 0));
    assert!(body.frame().await.is_none());
    drop(body);
    assert_released(&origin, totals(1, 0, 0));
}

#[tokio::test]
async fn at_the_end_of_a_chunked_body() {
    let origin = Origin::new().await;
    let raw = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let (response, _peer) = answer(&origin, raw).await;
    assert_eq!(text(response).await, "ok");
    assert_released(&origin, totals(1, 0, 0));
}

#[tokio::test]
async fn at_the_trailers_before_anybody_polls_on() {
    let origin = Origin::new().await;
    let raw = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-sum: 1\r\n\r\n";
    let (response, _peer) = answer(&origin, raw).await;
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert_released(&origin, totals(1, 0, 0));
}

#[tokio::test]
async fn with_the_head_where_there_is_no_body() {
    let origin = Origin::new().await;
    let (response, _peer) = answer(&origin, "HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_released(&origin, totals(1, 0, 0));
    drop(response);
    assert_released(&origin, totals(1, 0, 0));
}

#[tokio::test]
async fn as_a_failure_after_a_5xx_and_not_after_a_4xx() {
    let origin = Origin::new().await;
    let (response, _peer) = answer(&origin, "HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno").await;
    assert_eq!(text(response).await, "no");
    assert_released(&origin, totals(0, 1, 0));
    let (response, _peer) = answer(&origin, "HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nno").await;
    assert_eq!(text(response).await, "no");
    assert_released(&origin, totals(1, 1, 0));
}

#[tokio::test]
async fn when_the_body_is_dropped() {
    let origin = Origin::new().await;
    let (response, _peer) =
        answer(&origin, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart").await;
    drop(response);
    assert_released(&origin, totals(0, 0, 1));
}

#[tokio::test]
async fn when_the_body_breaks() {
    let origin = Origin::new().await;
    let (response, peer) =
        answer(&origin, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart").await;
    drop(peer);
    let mut body = response.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    assert_released(&origin, totals(0, 1, 0));
    drop(body);
    assert_released(&origin, totals(0, 1, 0));
}

#[tokio::test]
async fn when_the_future_is_dropped_before_it_is_polled() {
    let origin = Origin::new().await;
    drop(origin.call(&Forward::default(), get("/")));
    assert_released(&origin, totals(0, 0, 1));
}

#[tokio::test]
async fn when_the_future_is_dropped_while_it_waits_which_closes_the_connection() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let call = origin.call(&forward, get("/"));
    let mut call = Box::pin(call);
    let mut peer = tokio::select! {
        _ = &mut call => unreachable!("nobody answered"),
        peer = async { let mut peer = origin.accept().await; peer.head().await; peer } => peer,
    };
    assert_eq!(origin.record().in_flight(), 1);
    drop(call);
    assert_released(&origin, totals(0, 0, 1));
    assert_eq!(peer.rest().await, "");
}

#[tokio::test]
async fn when_the_connection_is_refused_or_breaks() {
    let upstream = Origin::refusing().await;
    let picked = Picked::new(get("/"), pick(&upstream));
    let error = Forward::default().call(picked).await.unwrap_err();
    assert_eq!(error.failure(), Failure::Connect);
    assert_eq!(told(record(&upstream).totals()), totals(0, 1, 0));
    assert_eq!(record(&upstream).in_flight(), 0);

    let origin = Origin::new().await;
    let (error, ()) = tokio::join!(origin.call(&Forward::default(), get("/")), async {
        origin.accept().await.head().await;
    });
    assert_eq!(error.unwrap_err().failure(), Failure::Reset);
    assert_released(&origin, totals(0, 1, 0));
}

#[tokio::test]
async fn when_the_client_fails_which_nobody_is_blamed_for() {
    let origin = Origin::new().await;
    let (sender, body) = frames();
    let request = Request::post("/").header("host", "a").body(body).unwrap();
    let (error, ()) = tokio::join!(origin.call(&Forward::default(), request), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        sender.send(data("part")).await.unwrap();
        sender.send(Err("gone".into())).await.unwrap();
        // Half a request is all that the endpoint gets.
        assert_eq!(peer.rest().await, "4\r\npart\r\n");
    });
    let error = error.unwrap_err();
    assert_eq!(error.failure(), Failure::Downstream);
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "gone");
    assert_released(&origin, totals(0, 0, 1));
}
