//! What a client may ask of a connection.

use std::future::{pending, poll_fn};

use h2::{Reason, client::Builder};
use http::HeaderName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::*;
use crate::support::{data, frames};

/// Waits until the server has what was asked.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_up_most_of_many_requests_is_told_to_be_calm() {
    let config = Http2::new().with_max_resets(10);
    let mut talk = talk(
        &config,
        async |request: Request<RequestBody>| match request.uri().path() {
            "/held" => pending().await,
            _ => Ok(text("fine")),
        },
    )
    .await;
    for _ in 0..10 {
        assert_eq!(talk.text("/").await, "fine");
    }
    // Half of all are no flood.
    for _ in 0..10 {
        let asked = talk.ask(get("/held"));
        settle().await;
        drop(asked);
        settle().await;
    }
    assert_eq!(talk.text("/").await, "fine");
    for _ in 0..3 {
        if let Ok((asked, _)) = talk.requests.send_request(get("/held"), true) {
            settle().await;
            drop(asked);
            settle().await;
        }
    }
    let error = soon(talk.client).await.unwrap().unwrap_err();
    assert!(error.is_go_away() && error.is_remote(), "{error}");
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    let served = soon(talk.served).await.unwrap();
    assert!(matches!(served, Err(ServeError::Flood)), "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_opens_its_window_loses_the_stream_alone() {
    let limit = Duration::from_secs(60);
    let config = Http2::new().with_write_timeout(limit);
    let (sender, body) = frames();
    let mut body = Some(body);
    let mut client = Builder::new();
    client.initial_window_size(3);
    let mut talk = talk_with(&config, &client, move |request: Request<RequestBody>| {
        let response = match request.uri().path() {
            "/" => text("two"),
            _ => answer(body.take().unwrap()),
        };
        async move { Ok(response) }
    })
    .await;
    let response = talk.get("/long").await.unwrap();
    let mut taken = response.into_body();
    sender.send(data("abc")).await.unwrap();
    assert_eq!(soon(taken.data()).await.unwrap().unwrap(), "abc");
    sender.send(data("def")).await.unwrap();
    // A little now and then is enough.
    for _ in 0..4 {
        tokio::time::sleep(limit / 2).await;
        taken.flow_control().release_capacity(1).unwrap();
        let piece = soon(taken.data()).await.unwrap().unwrap();
        assert_eq!(piece.len(), 1);
        if piece == "f" {
            sender.send(data("ghi")).await.unwrap();
        }
    }
    let begun = Instant::now();
    soon(sender.closed()).await;
    assert_eq!(begun.elapsed(), limit);
    let error = soon(taken.data()).await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    assert_eq!(talk.text("/").await, "two");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_waits_for_its_endpoint_is_not_late() {
    let config = Http2::new().with_write_timeout(Duration::from_secs(1));
    let (sender, body) = frames();
    let mut body = Some(body);
    let mut talk = talk(&config, move |_request| {
        let body = body.take().unwrap();
        async move { Ok(answer(body)) }
    })
    .await;
    let response = talk.get("/").await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(100)).await;
        sender.send(data("abc")).await.unwrap();
    }
    drop(sender);
    let (text, _) = soon(read(response.into_body())).await.unwrap();
    assert_eq!(text, "abcabcabc");
}

#[tokio::test(start_paused = true)]
async fn a_head_with_too_many_fields_or_bytes_never_reaches_the_service() {
    let config = Http2::new().with_max_fields(5).with_max_head(1000);
    let mut talk = talk(&config, async |_request| Ok(text("fine"))).await;
    let with = |fields: usize, size: usize| {
        let mut request = get("/");
        for number in 0..fields {
            let name: HeaderName = format!("x-{number}").parse().unwrap();
            let value = "a".repeat(size).parse().unwrap();
            request.headers_mut().insert(name, value);
        }
        request
    };
    for (request, status) in [
        (with(5, 1), 200),
        (with(6, 1), 431),
        (with(1, 500), 200),
        (with(1, 1000), 431),
    ] {
        assert_eq!(soon(talk.ask(request)).await.unwrap().status(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn more_requests_at_a_time_than_allowed_wait_at_the_client() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (gates, counted) = (Arc::clone(&gate), Arc::clone(&begun));
    let config = Http2::new().with_max_streams(2);
    let mut talk = talk(&config, move |_request| {
        let gate = Arc::clone(&gates);
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            gate.acquire().await?.forget();
            Ok(text("fine"))
        }
    })
    .await;
    settle().await;
    let asked: Vec<_> = (0..2).map(|_| talk.ask(get("/"))).collect();
    settle().await;
    assert_eq!(talk.requests.current_max_send_streams(), 2);
    assert_eq!(begun.load(std::sync::atomic::Ordering::Relaxed), 2);
    gate.add_permits(2);
    for asked in asked {
        assert_eq!(soon(asked).await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_requests_ends_and_its_client_is_told() {
    let config = Http2::new()
        .with_first_request_timeout(Duration::from_secs(5))
        .with_idle_timeout(Duration::from_secs(60));
    let begun = Instant::now();
    let silent = talk(&config, async |_request| Ok(text("fine"))).await;
    soon(silent.client).await.unwrap().unwrap();
    soon(silent.served).await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(5));

    let (sender, body) = frames();
    let mut body = Some(body);
    let mut talk = talk(&config, move |_request| {
        let body = body.take();
        async move { Ok(body.map_or_else(|| text("fine"), answer)) }
    })
    .await;
    let response = talk.get("/").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1000)).await;
    drop(sender);
    soon(read(response.into_body())).await.unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(talk.text("/").await, "fine");
    let begun = Instant::now();
    soon(talk.client).await.unwrap().unwrap();
    soon(talk.served).await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(60));
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_or_answers_no_ping_is_waited_for_so_long() {
    for (says, seconds) in [(&b"PRI"[..], 5), (PREFACE, 30)] {
        let config = Http2::new()
            .with_first_request_timeout(Duration::from_secs(if says == PREFACE { 600 } else { 5 }))
            .with_ping(Duration::from_secs(20), Duration::from_secs(10));
        let (mut near, far) = duplex(64 * 1024);
        let service = service_fn(async |_request| Ok::<_, BoxError>(text("fine")));
        let begun = Instant::now();
        let serving = config.serve(far, service);
        near.write_all(says).await.unwrap();
        let served = soon(serving).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(seconds));
        match says == PREFACE {
            true => assert!(matches!(served, Err(ServeError::Unanswered)), "{served:?}"),
            false => served.unwrap(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_leave_when_it_should_is_waited_for_so_long() {
    let config = Http2::new()
        .with_first_request_timeout(Duration::from_secs(5))
        .with_ping(Duration::from_secs(20), Duration::from_secs(10));
    let (mut near, far) = duplex(64 * 1024);
    let service = service_fn(async |_request| Ok::<_, BoxError>(text("fine")));
    let begun = Instant::now();
    let serving = config.serve(far, service);
    near.write_all(PREFACE).await.unwrap();
    soon(serving).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(15));
    let mut said = Vec::new();
    near.read_to_end(&mut said).await.unwrap();
    let goaway = said.windows(4).any(|frame| frame == [0, 8, 7, 0]);
    assert!(goaway, "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_graceful_end_answers_what_is_under_way() {
    let (open, opened) = oneshot::channel();
    let mut opened = Some(opened);
    let mut talk = talk(&Http2::new(), move |_request| {
        let opened = opened.take();
        async move {
            opened.unwrap().await?;
            Ok(text("fine"))
        }
    })
    .await;
    let asked = talk.ask(get("/"));
    settle().await;
    talk.stop.take().unwrap().send(()).unwrap();
    settle().await;
    // However long it takes.
    tokio::time::sleep(Duration::from_secs(300)).await;
    let refused = poll_fn(|cx| talk.requests.poll_ready(cx)).await;
    assert!(refused.is_err() || talk.requests.send_request(get("/"), true).is_err());
    open.send(()).unwrap();
    let response = soon(asked).await.unwrap();
    assert_eq!(soon(read(response.into_body())).await.unwrap().0, "fine");
    soon(talk.client).await.unwrap().unwrap();
    soon(talk.served).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_end_before_the_client_has_spoken_is_told_once_it_has() {
    let (mut near, far) = duplex(64 * 1024);
    let service = service_fn(async |_request| Ok::<_, BoxError>(text("fine")));
    let mut serving = Http2::new().serve(far, service);
    serving.graceful_shutdown();
    let served = tokio::spawn(serving);
    near.write_all(PREFACE).await.unwrap();
    let mut said = vec![0; 1024];
    let mut count = 0;
    while !said[..count].windows(4).any(|frame| frame == [0, 8, 7, 0]) {
        count += soon(near.read(&mut said[count..])).await.unwrap();
    }
    drop(near);
    let _ended = soon(served).await.unwrap();
}
