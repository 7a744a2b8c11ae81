//! How many connections there are, and for how long.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use tightrope_proxy::{Connections, Forward, ForwardConfig, Protocol};
use tightrope_upstream::{Failed, Failure, TakeUnsent};
use tokio::{io::AsyncWriteExt, time::Instant};

use crate::support::{Origin, get, http2::Http2, text};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// One connection, for which there is all the time to wait.
fn single() -> ForwardConfig {
    ForwardConfig::new()
        .with_connect_timeout(Duration::from_secs(60))
        .with_max_connections_per_endpoint(1)
}

#[tokio::test]
async fn connections_are_counted() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    assert_eq!(origin.connections(&forward), Connections::default());
    let mut peer = origin.warm(&forward).await;
    let counts = origin.connections(&forward);
    assert_eq!(
        (counts.open, counts.idle, counts.made, counts.reused),
        (1, 1, 1, 0)
    );
    let call = tokio::spawn(origin.call(&forward, get("/")));
    peer.head().await;
    let counts = origin.connections(&forward);
    assert_eq!((counts.open, counts.idle, counts.reused), (1, 0, 1));
    // The endpoint closes it.
    peer.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
        .await;
    text(call.await.unwrap().unwrap()).await;
    let counts = origin.connections(&forward);
    assert_eq!((counts.open, counts.idle, counts.http2), (0, 0, 0));
}

#[tokio::test]
async fn a_connection_that_is_dropped_is_not_counted() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let mut peer = origin.accept().await;
    peer.head().await;
    assert_eq!(origin.connections(&forward).open, 1);
    call.abort();
    assert_eq!(peer.rest().await, "");
    assert_eq!(origin.connections(&forward).open, 0);
    // Nor one that could not be made.
    let upstream = Origin::refusing().await;
    let picked = tightrope_upstream::Picked::new(get("/"), crate::support::pick(&upstream));
    let refused = tower_service::Service::call(&mut forward.clone(), picked).await;
    assert_eq!(refused.unwrap_err().failure(), Failure::Connect);
    let counts = forward.connections(&upstream.snapshot().members()[0]);
    assert_eq!((counts.open, counts.made), (0, 0));
}

#[tokio::test]
async fn requests_wait_in_their_order_for_a_connection_to_come_free() {
    let origin = Origin::new().await;
    let forward = Forward::new(single());
    let mut peer = origin.warm(&forward).await;
    let mut calls = Vec::new();
    for number in 0..4 {
        let path = format!("/{number}");
        calls.push(tokio::spawn(origin.call(&forward, get(&path))));
        let waiting = |count: usize| origin.connections(&forward).waiting == count;
        while !(number == 0 || waiting(number)) {
            tokio::task::yield_now().await;
        }
    }
    for number in 0..4 {
        let head = peer.head().await;
        assert!(head.starts_with(&format!("get /{number} ")), "{head}");
        if number == 2 {
            // Closed, so that the next makes one of its own.
            peer.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
                .await;
            let second = origin.accept();
            let (text, accepted) = tokio::join!(
                async { text(calls.remove(0).await.unwrap().unwrap()).await },
                second
            );
            assert_eq!(text, "ok");
            peer = accepted;
        } else {
            peer.send(OK).await;
            assert_eq!(text(calls.remove(0).await.unwrap().unwrap()).await, "ok");
        }
    }
    let counts = origin.connections(&forward);
    assert_eq!((counts.open, counts.waiting, counts.made), (1, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_gets_its_request_back() {
    let origin = Origin::new().await;
    let config = ForwardConfig::new().with_max_connections_per_endpoint(1);
    let forward = Forward::new(config);
    let first = tokio::spawn(origin.call(&forward, get("/1")));
    let mut peer = origin.accept().await;
    peer.head().await;
    let start = Instant::now();
    let mut error = origin.call(&forward, get("/2")).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 1);
    assert_eq!(error.failure(), Failure::Unavailable);
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "none of the 1 connections to the endpoint came free in time"
    );
    assert!(TakeUnsent::<Request<Empty<Bytes>>>::take_unsent(&mut error).is_some());
    assert_eq!(origin.connections(&forward).waiting, 0);
    drop(first);
}

#[tokio::test]
async fn who_goes_away_while_it_waits_leaves_its_turn_to_the_next() {
    let origin = Origin::new().await;
    let forward = Forward::new(single());
    let mut peer = origin.warm(&forward).await;
    let calls: Vec<_> = ["/0", "/1", "/2"]
        .into_iter()
        .map(|path| tokio::spawn(origin.call(&forward, get(path))))
        .collect();
    while origin.connections(&forward).waiting < 2 {
        tokio::task::yield_now().await;
    }
    assert!(peer.head().await.starts_with("get /0 "));
    calls[1].abort();
    peer.send(OK).await;
    let [first, _aborted, last] = <[_; 3]>::try_from(calls).unwrap();
    text(first.await.unwrap().unwrap()).await;
    assert!(peer.head().await.starts_with("get /2 "));
    peer.send(OK).await;
    text(last.await.unwrap().unwrap()).await;
}

#[tokio::test]
async fn streams_wait_where_there_may_be_no_other_connection() {
    let origin = Origin::new().await;
    let forward = Forward::new(single().with_protocol(Protocol::Http2));
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let warm = tokio::spawn(origin.call(&forward, get("/warm")));
    let mut http2 = Http2::with(origin.accept().await.stream, &builder).await;
    http2.next().await.answer("ok");
    text(warm.await.unwrap().unwrap()).await;
    let calls = ["/0", "/1", "/2"].map(|path| tokio::spawn(origin.call(&forward, get(path))));
    while origin.connections(&forward).waiting < 2 {
        tokio::task::yield_now().await;
    }
    for (number, call) in calls.into_iter().enumerate() {
        let asked = http2.next().await;
        assert_eq!(asked.request.uri().path(), format!("/{number}"));
        asked.answer("ok");
        assert_eq!(text(call.await.unwrap().unwrap()).await, "ok");
    }
    assert_eq!(origin.connections(&forward).made, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_too_old_carries_nothing_new() {
    let origin = Origin::new().await;
    let config = ForwardConfig::new()
        .with_pool_max_age(Duration::from_secs(60))
        .with_pool_idle_timeout(Duration::from_secs(3600));
    let forward = Forward::new(config);
    let mut peer = origin.warm(&forward).await;
    let start = Instant::now();
    assert_eq!(peer.rest().await, "");
    assert!((59..=61).contains(&start.elapsed().as_secs()));
    assert_eq!(origin.connections(&forward).open, 0);
}

#[tokio::test]
async fn an_old_connection_of_http_2_ends_what_it_carries() {
    let origin = Origin::new().await;
    let config = ForwardConfig::new()
        .with_protocol(Protocol::Http2)
        .with_head_timeout(Duration::MAX)
        .with_pool_max_age(Duration::from_secs(60));
    let forward = Forward::new(config);
    let long = tokio::spawn(origin.call(&forward, get("/long")));
    let mut first = Http2::accept(origin.accept().await.stream).await;
    let asked = first.next().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let mut second = Http2::accept(origin.accept().await.stream).await;
    second.next().await.answer("new");
    assert_eq!(text(call.await.unwrap().unwrap()).await, "new");
    asked.answer("old");
    assert_eq!(text(long.await.unwrap().unwrap()).await, "old");
    first.closed().await;
}

#[tokio::test]
async fn an_idle_connection_of_http_2_is_closed_without_traffic() {
    let origin = Origin::new().await;
    let config = ForwardConfig::new()
        .with_protocol(Protocol::Http2)
        .with_pool_idle_timeout(Duration::from_secs(5));
    let forward = Forward::new(config);
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let mut http2 = Http2::accept(origin.accept().await.stream).await;
    http2.next().await.answer("ok");
    text(call.await.unwrap().unwrap()).await;
    tokio::time::pause();
    let start = Instant::now();
    http2.closed().await;
    assert!((4..=6).contains(&start.elapsed().as_secs()));
    assert_eq!(origin.connections(&forward).open, 0);
}

#[tokio::test]
async fn what_is_idle_ends_with_the_service() {
    let origin = Origin::new().await;
    let forward = Forward::new(ForwardConfig::new().with_protocol(Protocol::Http2));
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let mut http2 = Http2::accept(origin.accept().await.stream).await;
    let mut asked = http2.next().await;
    let mut answer = asked.begin(http::Response::new(()));
    let response = call.await.unwrap().unwrap();
    drop(forward);
    // A body that is still streamed goes on.
    answer.send_data(Bytes::from_static(b"ok"), true).unwrap();
    assert_eq!(text(response).await, "ok");
    http2.closed().await;
}

/// Settings of HTTP/2 that change nothing.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test]
async fn connections_are_there_before_they_are_asked_for() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let origin = Origin::new().await;
        let forward = Forward::new(ForwardConfig::new().with_protocol(protocol));
        let warm = forward.keep_warm(&origin.upstream, 2);
        let greeted = async || {
            let mut stream = origin.accept().await.stream;
            if protocol == Protocol::Http2 {
                stream.write_all(SETTINGS).await.unwrap();
            }
            stream
        };
        let peers = (greeted().await, greeted().await);
        while origin.connections(&forward).idle < 2 {
            tokio::task::yield_now().await;
        }
        let counts = origin.connections(&forward);
        assert_eq!((counts.open, counts.made), (2, 2));
        // Once one is gone another comes, as long as it is wanted.
        drop(peers.0);
        let third = greeted().await;
        while origin.connections(&forward).made < 3 {
            tokio::task::yield_now().await;
        }
        drop(warm);
        drop((peers.1, third));
        origin.settle().await;
        assert_eq!(origin.connections(&forward).made, 3);
    }
}

#[tokio::test]
async fn only_who_is_available_is_kept_warm_and_never_beyond_the_bound() {
    let origin = Origin::new().await;
    let config = ForwardConfig::new().with_max_connections_per_endpoint(1);
    let forward = Forward::new(config);
    let id = origin.upstream.snapshot().members()[0].id().clone();
    let drain = tightrope_upstream::Change::new().drain(id.clone(), "test");
    origin.upstream.apply(drain).unwrap();
    let _warm = forward.keep_warm(&origin.upstream, 5);
    origin.settle().await;
    assert_eq!(origin.connections(&forward).open, 0);
    let undrain = tightrope_upstream::Change::new().undrain(id, "test");
    origin.upstream.apply(undrain).unwrap();
    let _peer = origin.accept().await;
    origin.settle().await;
    assert_eq!(origin.connections(&forward).open, 1);
}
