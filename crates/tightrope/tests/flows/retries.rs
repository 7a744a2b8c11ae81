//! Requests that meet an endpoint which fails, on real sockets.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use tightrope::{
    balance::{Balance, Context, FirstAvailable},
    proxy::{Forward, ForwardConfig},
    retry::{RetryLayer, attempt},
    upstream::{Change, Failed, Failure, Upstream},
};
use tightrope_test::Origin;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::{Layer, ServiceExt};

use super::world::spec;

/// Reads some of each request and then does what `answer` says: bytes, and the end of the connection.
async fn broken(answer: &'static str) -> (Upstream, Origin, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                *count.lock().unwrap() += 1;
                let _gone = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    let upstream = Upstream::new("app");
    let good = Origin::start("good").await;
    let bad = tightrope::upstream::EndpointSpec::new(address.parse().unwrap());
    let good_spec = spec(&good).with_priority(1);
    upstream
        .apply(Change::new().add(bad).add(good_spec))
        .unwrap();
    (upstream, good, seen)
}

const RESET: &str = "";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nno\n";

/// The status and body, or the failure, of a request that meets the broken one first.
async fn send(upstream: &Upstream, method: Method, body: &str) -> Result<(u16, String), Failure> {
    let forward = Forward::new(ForwardConfig::new());
    let balance = Balance::new(upstream, FirstAvailable::new(), forward)
        .with_context(|request: &Request<_>| Context::new().with_attempt(attempt(request)));
    let request = Request::builder()
        .method(method)
        .uri("/echo")
        .header("host", "app.test")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    let sent = RetryLayer::new().layer(balance).oneshot(request).await;
    let response = sent.map_err(|error| error.failure())?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test]
async fn an_idempotent_request_is_answered_by_somebody_else_with_its_body() {
    for answer in [RESET, UNAVAILABLE] {
        let (upstream, good, seen) = broken(answer).await;
        let (status, echo) = send(&upstream, Method::PUT, "the body").await.unwrap();
        assert_eq!(status, 200);
        assert!(echo.ends_with("the body"), "{echo}");
        assert_eq!((*seen.lock().unwrap(), good.requests()), (1, 1));
        let snapshot = upstream.snapshot();
        for member in snapshot.members() {
            assert_eq!(member.record().in_flight(), 0);
        }
        // What was made up for still speaks against it.
        assert_eq!(snapshot.members()[0].record().totals().failed, 1);
    }
}

#[tokio::test]
async fn any_other_request_meets_the_failure_once() {
    let (upstream, good, _) = broken(RESET).await;
    let sent = send(&upstream, Method::POST, "the body").await;
    assert_eq!(sent, Err(Failure::Reset));
    let (upstream, _, seen) = broken(UNAVAILABLE).await;
    let sent = send(&upstream, Method::POST, "the body").await;
    assert_eq!(sent, Ok((503, "no\n".to_owned())));
    assert_eq!((*seen.lock().unwrap(), good.requests()), (1, 0));
}

#[tokio::test]
async fn with_nobody_else_the_answer_is_passed_on_as_it_was() {
    let (upstream, good, seen) = broken(UNAVAILABLE).await;
    let id = upstream.snapshot().members()[1].id().clone();
    upstream.apply(Change::new().remove(id)).unwrap();
    let sent = send(&upstream, Method::GET, "").await;
    assert_eq!(sent, Ok((503, "no\n".to_owned())));
    assert_eq!((*seen.lock().unwrap(), good.requests()), (1, 0));
}
