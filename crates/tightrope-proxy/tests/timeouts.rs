//! Who is waited for, and for how long.

use std::{num::NonZeroU32, time::Duration};

use crate::support::{Origin, data, frames, get, post};
use http::Request;
use http_body_util::BodyExt;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tightrope_proxy::{Forward, ForwardConfig, MinRate, WriteTimeout};
use tightrope_upstream::{Failed, Failure, Picked};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::Instant,
};
use tower::ServiceExt;

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

const SECOND: Duration = Duration::from_secs(1);

/// Ten bytes a second, with a patience of 5 s.
fn min_rate() -> Option<MinRate> {
    let rate = MinRate::new(NonZeroU32::new(10).expect("not 0"));
    Some(rate.with_patience(5 * SECOND))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_a_little_now_and_then_is_given_up_and_one_at_the_rate_is_not() {
    let origin = Origin::new().await;
    let forward = Forward::new(config().with_min_request_rate(min_rate()));
    for (piece, is_slow) in [("ten bytes!", false), ("x", true)] {
        let (sender, body) = frames();
        let request = Request::post("/").header("host", "a").body(body).unwrap();
        let call = tokio::spawn(origin.call(&forward, request));
        let mut peer = origin.accept().await;
        peer.head().await;
        let start = Instant::now();
        for _ in 0..60 {
            tokio::time::sleep(SECOND).await;
            if sender.send(data(piece)).await.is_err() {
                break;
            }
        }
        if is_slow {
            let error = call.await.unwrap().unwrap_err();
            assert_eq!(error.failure(), Failure::DownstreamTimeout);
            // Five bytes came in time, and earned half a second.
            let five = Duration::from_millis(5500);
            assert!(start.elapsed() >= five && start.elapsed() <= five + SECOND);
            assert_eq!(origin.record().totals().cancelled, 1);
        } else {
            drop(sender);
            peer.until("0\r\n\r\n").await;
            peer.send("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .await;
            assert_eq!(call.await.unwrap().unwrap().status(), 204);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_sends_a_little_now_and_then_is_given_up_but_not_for_a_slow_reader() {
    let origin = Origin::new().await;
    let forward = Forward::new(config().with_min_response_rate(min_rate()));
    let (response, mut peer) = tokio::join!(origin.call(&forward, get("/")), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            .await;
        peer
    });
    let mut body = response.unwrap().into_body();
    // As slow as can be, for a minute of waits.
    for _ in 0..15 {
        let send = async {
            tokio::time::sleep(4 * SECOND).await;
            peer.send(&"x".repeat(40)).await;
        };
        let (frame, ()) = tokio::join!(body.frame(), send);
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap().len(), 40);
        // A reader that takes its time is not the endpoint's fault.
        tokio::time::sleep(60 * SECOND).await;
    }
    let start = Instant::now();
    let drip = async {
        while tokio::time::timeout(SECOND, std::future::pending::<()>())
            .await
            .is_err()
        {
            peer.send("x").await;
        }
    };
    let read = async {
        loop {
            if let Err(error) = body.frame().await.unwrap() {
                break error;
            }
        }
    };
    let error = tokio::select! {
        error = read => error,
        () = drip => unreachable!(),
    };
    assert_eq!(error.failure(), Failure::BodyTimeout);
    assert_about(start, Duration::from_millis(5500));
    assert_eq!(origin.record().in_flight(), 0);
}

/// Serves one connection by hyper and `forward`, to a client that reads nothing for an hour and then all.
/// What it gets, and whether the server ended well.
async fn served_late(
    forward: Forward,
    origin: &Origin,
    write_timeout: Duration,
) -> (Vec<u8>, hyper::Result<()>) {
    let (mut client, server) = duplex(1024);
    let pick = std::sync::Mutex::new(Some(origin.pick()));
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let pick = pick
            .lock()
            .expect("nobody panics")
            .take()
            .expect("one request");
        forward.clone().oneshot(Picked::new(request, pick))
    });
    let server = TokioIo::new(WriteTimeout::new(server, write_timeout));
    let connection = http1::Builder::new().serve_connection(server, service);
    let read = async {
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.expect("it has room");
        tokio::time::sleep(3600 * SECOND).await;
        let mut answer = Vec::new();
        let read = client.read_to_end(&mut answer).await;
        read.expect("an end");
        answer
    };
    let send = async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4194304\r\n\r\n")
            .await;
        let _cut = peer.try_send(&vec![b'x'; 4 << 20]).await;
        peer
    };
    let (ended, answer, _peer) = tokio::join!(connection, read, send);
    (answer, ended)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_and_its_endpoint_never_blamed() {
    let origin = Origin::new().await;
    let config = config()
        .with_body_idle_timeout(LIMIT)
        .with_min_response_rate(min_rate());
    let forward = Forward::new(config);
    let (answer, ended) = served_late(forward.clone(), &origin, Duration::MAX).await;
    ended.unwrap();
    assert!(answer.len() > 4 << 20);
    assert_eq!(origin.record().totals().succeeded, 1);

    let (answer, ended) = served_late(forward, &origin, LIMIT).await;
    assert!(ended.is_err() && answer.len() <= 1024);
    let totals = origin.record().totals();
    assert_eq!((totals.failed, totals.cancelled), (0, 1));
    assert_eq!(origin.record().in_flight(), 0);
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
