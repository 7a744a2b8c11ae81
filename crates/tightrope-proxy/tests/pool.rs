//! Which connections are used again, and what happens when one turns out to be dead.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use crate::support::{Origin, Peer, frames, get, pick, post, text};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use tightrope_proxy::{Forward, ForwardConfig};
use tightrope_upstream::{Change, Failed, Failure, Picked, TakeUnsent};
use tower_service::Service;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_is_used_again() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let mut peer = origin.warm(&forward).await;
    for _ in 0..3 {
        let (response, ()) = tokio::join!(origin.call(&forward, post("/", "hello")), async {
            peer.until("hello").await;
            peer.send(OK).await;
        });
        assert_eq!(text(response.unwrap()).await, "ok");
    }
}

#[tokio::test]
async fn a_response_without_a_body_gives_its_connection_back_at_once() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let (response, mut peer) = tokio::join!(origin.call(&forward, get("/")), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        peer
    });
    // As a server does that sees that there is nothing to send.
    drop(response.unwrap());
    origin.settle().await;
    let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
        peer.head().await;
        peer.send(OK).await;
    });
    assert_eq!(text(response.unwrap()).await, "ok");
}

#[tokio::test]
async fn a_connection_survives_an_update_of_its_endpoint() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let mut peer = origin.warm(&forward).await;
    let id = origin.upstream.snapshot().members()[0].id().clone();
    origin
        .upstream
        .apply(Change::new().set_weight(id, 7.into()))
        .unwrap();
    let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
        peer.head().await;
        peer.send(OK).await;
    });
    assert_eq!(text(response.unwrap()).await, "ok");
}

/// Expects that the next request comes on a new connection, not on `old`.
async fn expect_new_connection(origin: &Origin, forward: &Forward, mut old: Peer) {
    let _new = origin.warm(forward).await;
    assert_eq!(old.rest().await, "");
}

#[tokio::test]
async fn a_connection_with_an_unsolicited_response_is_not_used() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let mut peer = origin.warm(&forward).await;
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPOISON")
        .await;
    origin.settle().await;
    expect_new_connection(&origin, &forward, peer).await;
}

#[tokio::test]
async fn a_connection_with_leftovers_of_a_response_is_not_used() {
    for (method, raw) in [
        (
            Method::HEAD,
            "HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\nHTTP/1.1 200 OK\r\n",
        ),
        (
            Method::GET,
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\n\r\nPOISON",
        ),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\nPOISON"),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokPOISON",
        ),
    ] {
        let origin = Origin::new().await;
        let forward = Forward::default();
        let mut request = get("/");
        *request.method_mut() = method;
        let (response, peer) = tokio::join!(origin.call(&forward, request), async {
            let mut peer = origin.accept().await;
            peer.head().await;
            peer.send(raw).await;
            peer
        });
        let _text = text(response.unwrap()).await;
        expect_new_connection(&origin, &forward, peer).await;
    }
}

#[tokio::test]
async fn a_connection_is_not_used_after_close_or_http_1_0() {
    for head in [
        "HTTP/1.1 200 OK\r\nconnection: close",
        "HTTP/1.0 200 OK",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive",
    ] {
        let origin = Origin::new().await;
        let forward = Forward::default();
        let (response, peer) = tokio::join!(origin.call(&forward, get("/")), async {
            let mut peer = origin.accept().await;
            peer.head().await;
            peer.send(&format!("{head}\r\ncontent-length: 2\r\n\r\nok"))
                .await;
            peer
        });
        assert_eq!(text(response.unwrap()).await, "ok");
        expect_new_connection(&origin, &forward, peer).await;
    }
}

#[tokio::test]
async fn a_connection_whose_response_was_dropped_is_closed() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let (response, mut peer) = tokio::join!(origin.call(&forward, get("/")), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
            .await;
        peer
    });
    drop(response.unwrap());
    assert_eq!(peer.rest().await, "");
}

#[tokio::test]
async fn a_post_does_not_go_out_on_a_connection_that_the_endpoint_closed() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    for _ in 0..5 {
        drop(origin.warm(&forward).await);
        origin.settle().await;
        let (response, ()) = tokio::join!(origin.call(&forward, post("/", "hello")), async {
            let mut peer = origin.accept().await;
            peer.until("hello").await;
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
        });
        assert_eq!(text(response.unwrap()).await, "ok");
    }
}

/// Sends `request` on a used connection that the endpoint closes as soon as it has read the head.
async fn cut_after_reuse(request: Request<Full<Bytes>>) -> Failure {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let mut peer = origin.warm(&forward).await;
    let call = tokio::spawn(origin.call(&forward, request));
    peer.head().await;
    peer.reset();
    let again = async {
        let _second = origin.accept().await;
        panic!("it was sent again");
    };
    tokio::select! {
        response = call => response.unwrap().unwrap_err().failure(),
        () = again => unreachable!(),
    }
}

fn bodyless(method: &Method) -> Request<Full<Bytes>> {
    let mut request = post("/again", "");
    *request.method_mut() = method.clone();
    request
}

#[tokio::test]
async fn a_used_connection_that_breaks_is_stale_and_nobodys_fault() {
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::POST] {
        let failure = cut_after_reuse(bodyless(&method)).await;
        assert_eq!(failure, Failure::Stale, "{method}");
    }
}

#[tokio::test]
async fn a_used_connection_that_breaks_within_an_upload_is_reset() {
    for method in ["POST", "PUT", "GET"] {
        let mut request = post("/", "hello");
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        let failure = cut_after_reuse(request).await;
        assert_eq!(failure, Failure::Reset, "{method}");
    }
}

#[tokio::test]
async fn a_get_is_not_sent_again_when_a_new_connection_breaks() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let (error, ()) = tokio::join!(origin.call(&forward, get("/")), async {
        let mut peer = origin.accept().await;
        peer.head().await;
    });
    assert_eq!(error.unwrap_err().failure(), Failure::Reset);
}

#[tokio::test]
async fn a_request_that_finds_no_connection_comes_back_as_it_was() {
    let upstream = Origin::refusing().await;
    let mut forward = Forward::default();
    let (sender, body) = frames();
    let request = Request::post("http://a.test/x")
        .header("host", "b.test")
        .header("connection", "x-secret")
        .header("x-secret", "1")
        .extension(7_u8)
        .body(body)
        .unwrap();
    let mut error = forward
        .call(Picked::new(request, pick(&upstream)))
        .await
        .unwrap_err();
    assert_eq!(error.failure(), Failure::Connect);
    assert!(error.failure().never_sent());
    assert!(std::error::Error::source(&error).is_some());

    // Asked for as something else, it stays.
    assert!(TakeUnsent::<Request<String>>::take_unsent(&mut error).is_none());
    let unsent = TakeUnsent::<Request<crate::support::Frames>>::take_unsent(&mut error).unwrap();
    assert_eq!(unsent.endpoint.id(), upstream.snapshot().members()[0].id());
    let request = unsent.request;
    assert_eq!(request.uri(), "http://a.test/x");
    assert_eq!(request.headers()["host"], "b.test");
    assert_eq!(request.headers()["x-secret"], "1");
    assert_eq!(request.extensions().get(), Some(&7_u8));
    sender
        .send(crate::support::data("still there"))
        .await
        .unwrap();
    drop(sender);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "still there");
    assert!(TakeUnsent::<Request<crate::support::Frames>>::take_unsent(&mut error).is_none());
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_connect_failure() {
    let upstream = tightrope_upstream::Upstream::new("test");
    let spec = tightrope_upstream::EndpointSpec::new("does-not-exist.invalid:80".parse().unwrap());
    upstream.apply(Change::new().add(spec)).unwrap();
    let config = ForwardConfig::new().with_connect_timeout(Duration::from_secs(30));
    let mut forward = Forward::new(config);
    let error = forward
        .call(Picked::new(get("/"), pick(&upstream)))
        .await
        .unwrap_err();
    assert_eq!(error.failure(), Failure::Connect);
}

#[tokio::test]
async fn a_host_name_is_resolved() {
    let origin = Origin::new().await;
    let port = origin.address().rsplit_once(':').unwrap().1.to_owned();
    let upstream = tightrope_upstream::Upstream::new("test");
    let spec = tightrope_upstream::EndpointSpec::new(format!("localhost:{port}").parse().unwrap());
    upstream.apply(Change::new().add(spec)).unwrap();
    let mut forward = Forward::default();
    let picked = Picked::new(get("/"), pick(&upstream));
    let (response, ()) = tokio::join!(forward.call(picked), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send(OK).await;
    });
    assert_eq!(text(response.unwrap()).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_without_traffic() {
    let origin = Origin::new().await;
    let config = ForwardConfig::new().with_pool_idle_timeout(Duration::from_secs(5));
    let forward = Forward::new(config);
    let mut peer = origin.warm(&forward).await;
    let start = tokio::time::Instant::now();
    assert_eq!(peer.rest().await, "");
    assert!(
        (4..=6).contains(&start.elapsed().as_secs()),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn the_connections_of_an_endpoint_that_is_gone_are_closed() {
    let origin = Origin::new().await;
    let config = ForwardConfig::new().with_pool_idle_timeout(Duration::from_secs(3600));
    let forward = Forward::new(config);
    let mut peer = origin.warm(&forward).await;
    let start = tokio::time::Instant::now();
    origin.upstream.apply(Change::new().replace([])).unwrap();
    assert_eq!(peer.rest().await, "");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn no_more_than_the_most_are_kept() {
    let origin = Origin::new().await;
    let forward = Forward::new(ForwardConfig::new().with_max_idle_per_endpoint(1));
    let answer = async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer
    };
    let first = tokio::spawn(origin.call(&forward, get("/")));
    let mut one = answer.await;
    let second = tokio::spawn(origin.call(&forward, get("/")));
    let mut two = origin.accept().await;
    two.head().await;
    one.send(OK).await;
    two.send(OK).await;
    assert_eq!(text(first.await.unwrap().unwrap()).await, "ok");
    assert_eq!(text(second.await.unwrap().unwrap()).await, "ok");
    // The older one had to go.
    assert_eq!(one.rest().await, "");

    let none = Forward::new(ForwardConfig::new().with_max_idle_per_endpoint(0));
    let mut peer = origin.warm(&none).await;
    assert_eq!(peer.rest().await, "");
}

#[tokio::test]
async fn dropping_the_service_closes_what_is_idle() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let mut peer = origin.warm(&forward).await;
    drop(forward);
    assert_eq!(peer.rest().await, "");
}
