//! Who is waited for, and for how long.

use std::time::Duration;

use crate::support::{Origin, data, frames, get, post};
use http::Request;
use http_body_util::BodyExt;
use tightrope_proxy::{Forward, ForwardConfig};
use tightrope_upstream::{Failed, Failure};
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(3);

fn config() -> ForwardConfig {
    let never = Duration::MAX;
    ForwardConfig::new()
        .with_connect_timeout(never)
        .with_head_timeout(never)
        .with_body_idle_timeout(never)
        .with_request_body_idle_timeout(never)
}

fn assert_about(start: Instant, expected: Duration) {
    let slack = Duration::from_millis(50);
    let elapsed = start.elapsed();
    assert!(
        elapsed >= expected && elapsed < expected + slack,
        "{elapsed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_does_not_answer_is_given_up() {
    let origin = Origin::new().await;
    let forward = Forward::new(config().with_head_timeout(LIMIT));
    let mut idle = Some(origin.warm(&forward).await);
    for _ in ["a used connection", "a new one"] {
        let start = Instant::now();
        let (error, ()) = tokio::join!(origin.call(&forward, post("/", "hello")), async {
            let mut peer = match idle.take() {
                Some(idle) => idle,
                None => origin.accept().await,
            };
            peer.until("hello").await;
            // Its connection ends with the wait.
            assert_eq!(peer.rest().await, "");
        });
        let error = error.unwrap_err();
        assert_eq!(error.failure(), Failure::HeadTimeout);
        assert!(error.is_timeout());
        assert_about(start, LIMIT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_upload_is_not_a_slow_answer() {
    let origin = Origin::new().await;
    let forward = Forward::new(config().with_head_timeout(LIMIT));
    let (sender, body) = frames();
    let request = Request::post("/").header("host", "a").body(body).unwrap();
    let call = tokio::spawn(origin.call(&forward, request));
    let mut peer = origin.accept().await;
    peer.head().await;
    for _ in 0..4 {
        tokio::time::sleep(LIMIT - Duration::from_secs(1)).await; // the client's pace
        sender.send(data("part")).await.unwrap();
        peer.until("part\r\n").await;
    }
    drop(sender);
    peer.until("0\r\n\r\n").await;
    let start = Instant::now();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.failure(), Failure::HeadTimeout);
    assert_about(start, LIMIT);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_takes_nothing_of_an_upload_is_given_up() {
    let origin = Origin::new().await;
    let forward = Forward::new(config().with_head_timeout(LIMIT));
    let (sender, body) = frames();
    let request = Request::post("/").header("host", "a").body(body).unwrap();
    let call = tokio::spawn(origin.call(&forward, request));
    let mut peer = origin.accept().await;
    peer.head().await;
    static BLOCK: [u8; 65536] = [b'x'; 65536];
    // Until nobody takes it any more.
    let pour = tokio::spawn(async move {
        while sender
            .send(Ok(http_body::Frame::data(bytes::Bytes::from_static(
                &BLOCK,
            ))))
            .await
            .is_ok()
        {}
    });
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.failure(), Failure::HeadTimeout);
    pour.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_response_body_that_stalls_is_given_up() {
    let origin = Origin::new().await;
    let forward = Forward::new(config().with_body_idle_timeout(LIMIT));
    let (response, mut peer) = tokio::join!(origin.call(&forward, get("/")), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
            .await;
        peer
    });
    let mut body = response.unwrap().into_body();
    for _ in 0..3 {
        // A reader that takes its time is not the endpoint's fault.
        tokio::time::sleep(10 * LIMIT).await;
        peer.send("part").await;
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "part"
        );
    }
    let start = Instant::now();
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.failure(), Failure::BodyTimeout);
    assert_about(start, LIMIT);
    assert!(body.frame().await.is_none());
    assert_eq!(peer.rest().await, "");
    assert_eq!(origin.record().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_in_its_upload_is_given_up() {
    let origin = Origin::new().await;
    let forward = Forward::new(config().with_request_body_idle_timeout(LIMIT));
    let (sender, body) = frames();
    let request = Request::post("/").header("host", "a").body(body).unwrap();
    let call = tokio::spawn(origin.call(&forward, request));
    let mut peer = origin.accept().await;
    peer.head().await;
    sender.send(data("part")).await.unwrap();
    let start = Instant::now();
    assert_eq!(peer.rest().await, "4\r\npart\r\n");
    assert_about(start, LIMIT);
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.failure(), Failure::DownstreamTimeout);
    // The endpoint did nothing wrong.
    assert_eq!(origin.record().totals().cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stalls_after_the_response_began_ends_the_response() {
    let origin = Origin::new().await;
    let forward = Forward::new(config().with_request_body_idle_timeout(LIMIT));
    let (_sender, body) = frames();
    let request = Request::post("/").header("host", "a").body(body).unwrap();
    let (response, _peer) = tokio::join!(origin.call(&forward, request), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
            .await;
        peer
    });
    let error = response.unwrap().into_body().collect().await.unwrap_err();
    assert_eq!(error.failure(), Failure::DownstreamTimeout);
}

/// A listener whose queue is full leaves connections unanswered; other systems refuse them.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_made_in_time_gives_the_request_back() {
    use bytes::Bytes;
    use http_body_util::Full;
    use tightrope_upstream::{Change, EndpointSpec, Picked, TakeUnsent, Upstream};
    use tokio::net::{TcpSocket, TcpStream};
    use tower_service::Service;

    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(queued) = tokio::time::timeout(LIMIT, TcpStream::connect(address)).await {
        queue.push(queued.unwrap());
    }

    let upstream = Upstream::new("test");
    let spec = EndpointSpec::new(address.to_string().parse().unwrap());
    upstream.apply(Change::new().add(spec)).unwrap();
    let mut forward = Forward::new(config().with_connect_timeout(LIMIT));
    let picked = Picked::new(post("/", "hello"), crate::support::pick(&upstream));
    let start = Instant::now();
    let mut error = forward.call(picked).await.unwrap_err();
    assert_eq!(error.failure(), Failure::ConnectTimeout);
    assert!(error.is_timeout());
    assert_about(start, LIMIT);
    let unsent = TakeUnsent::<Request<Full<Bytes>>>::take_unsent(&mut error).unwrap();
    let body = unsent.request.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "hello");
}
