//! Requests that go out over HTTP/2.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use h2::{Reason, server::Builder};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tightrope_proxy::{Forward, ForwardConfig, Protocol};
use tightrope_upstream::{Failed, Failure, TakeUnsent};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Origin, data, frames, get, http2::Http2, post, text};

fn config() -> ForwardConfig {
    ForwardConfig::new().with_protocol(Protocol::Http2)
}

fn forward() -> Forward {
    Forward::new(config())
}

async fn accept(origin: &Origin) -> Http2 {
    Http2::accept(origin.accept().await.stream).await
}

/// One request with one response, after which the connection is open and carries nothing.
async fn warm(origin: &Origin, forward: &Forward) -> Http2 {
    let (response, http2) = tokio::join!(origin.call(forward, get("/warm")), async {
        let mut http2 = accept(origin).await;
        http2.next().await.answer("ok");
        http2
    });
    assert_eq!(text(response.unwrap()).await, "ok");
    http2
}

/// An endpoint, and a service with an open connection to it that carries nothing.
async fn warmed() -> (Origin, Forward, Http2) {
    let (origin, forward) = (Origin::new().await, forward());
    let http2 = warm(&origin, &forward).await;
    (origin, forward, http2)
}

#[tokio::test]
async fn a_request_says_in_http_2_what_it_said() {
    let origin = Origin::new().await;
    let forward = forward();
    let request = Request::get("/a?b=c")
        .header("host", "a.test:81")
        .header("te", "trailers")
        .header("connection", "x-hop, te")
        .header("x-hop", "1")
        .header("x-list", "1")
        .header("x-list", "2")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let (response, asked) = tokio::join!(origin.call(&forward, request), async {
        let mut http2 = accept(&origin).await;
        let mut asked = http2.next().await;
        let head = Response::builder()
            .status(201)
            .header("x", "y")
            .body(())
            .unwrap();
        let mut body = asked.begin(head);
        body.send_data(Bytes::from_static(b"text"), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        body.send_trailers(trailers).unwrap();
        (asked, http2)
    });
    let asked = asked.0.request;
    assert_eq!(asked.uri(), "http://a.test:81/a?b=c");
    assert!(asked.body().is_end_stream());
    let mut fields: Vec<_> = asked.headers().iter().collect();
    fields.sort_by_key(|(name, _)| name.as_str());
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    assert_eq!(
        fields,
        [
            "te: trailers",
            "via: 1.1 tightrope",
            "x-list: 1",
            "x-list: 2"
        ]
    );
    let response = response.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.version(), Version::HTTP_11);
    assert_eq!(response.headers()["x"], "y");
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "text");
}

#[tokio::test]
async fn both_directions_go_on_at_the_same_time() {
    let origin = Origin::new().await;
    let forward = forward();
    let (sender, body) = frames();
    let request = Request::post("/")
        .header("host", "a.test")
        .body(body)
        .unwrap();
    let (response, (mut asked, mut answer, _http2)) =
        tokio::join!(origin.call(&forward, request), async {
            let mut http2 = accept(&origin).await;
            let mut asked = http2.next().await;
            let answer = asked.begin(Response::new(()));
            (asked, answer, http2)
        });
    let mut body = response.unwrap().into_body();
    for word in ["one", "two", "three"] {
        sender.send(data(word)).await.unwrap();
        let echo = asked.request.body_mut().data().await.unwrap().unwrap();
        answer.send_data(echo, false).unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "1".parse().unwrap());
    sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
    drop(sender);
    let (rest, trailers) = asked.body().await;
    assert_eq!(
        (rest.as_str(), trailers.unwrap()["x-end"].to_str().unwrap()),
        ("", "1")
    );
    answer.send_data(Bytes::new(), true).unwrap();
    assert!(body.frame().await.is_none());
    assert_eq!(origin.record().in_flight(), 0);
}

#[tokio::test]
async fn requests_share_a_connection_until_there_is_no_room_on_it() {
    let origin = Origin::new().await;
    let forward = forward();
    let mut builder = Builder::new();
    builder.max_concurrent_streams(2);
    let mut first = {
        let (response, http2) = tokio::join!(origin.call(&forward, get("/0")), async {
            let stream = origin.accept().await.stream;
            let mut http2 = Http2::with(stream, &builder).await;
            http2.next().await.answer("ok");
            http2
        });
        text(response.unwrap()).await;
        http2
    };
    let calls = ["/1", "/2", "/3"].map(|path| tokio::spawn(origin.call(&forward, get(path))));
    let (one, two) = (first.next().await, first.next().await);
    let mut second = accept(&origin).await;
    let three = second.next().await;
    let counts = origin.connections(&forward);
    assert_eq!(
        (counts.open, counts.http2, counts.streams, counts.made),
        (2, 2, 3, 2)
    );
    for asked in [one, two, three] {
        asked.answer("ok");
    }
    for call in calls {
        assert_eq!(text(call.await.unwrap().unwrap()).await, "ok");
    }
    let counts = origin.connections(&forward);
    assert_eq!((counts.idle, counts.streams, counts.waiting), (2, 0, 0));
}

#[tokio::test]
async fn requests_that_come_together_wait_for_one_connection() {
    let origin = Origin::new().await;
    let forward = forward();
    let calls: Vec<_> = (0..50)
        .map(|_| tokio::spawn(origin.call(&forward, get("/"))))
        .collect();
    let mut http2 = accept(&origin).await;
    for _ in 0..50 {
        http2.next().await.answer("ok");
    }
    for call in calls {
        assert_eq!(text(call.await.unwrap().unwrap()).await, "ok");
    }
    assert_eq!(origin.connections(&forward).made, 1);
}

#[tokio::test]
async fn all_who_wait_for_a_connection_that_fails_are_told_and_get_their_requests_back() {
    let upstream = Origin::refusing().await;
    let forward = forward();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let picked = tightrope_upstream::Picked::new(
                post("/", "hello"),
                crate::support::pick(&upstream),
            );
            tokio::spawn(tower_service::Service::call(&mut forward.clone(), picked))
        })
        .collect();
    for call in calls {
        let mut error = call.await.unwrap().unwrap_err();
        assert_eq!(error.failure(), Failure::Connect);
        assert!(std::error::Error::source(&error).is_some());
        let unsent = TakeUnsent::<Request<Full<Bytes>>>::take_unsent(&mut error).unwrap();
        assert_eq!(unsent.request.uri(), "/");
    }
}

#[tokio::test]
async fn a_connection_that_the_endpoint_closes_gets_no_more_requests() {
    let origin = Origin::new().await;
    let forward = forward();
    let mut first = warm(&origin, &forward).await;
    let long = tokio::spawn(origin.call(&forward, get("/long")));
    let asked = first.next().await;
    first.go_away();
    origin.settle().await;
    let second = warm(&origin, &forward).await;
    // What it carries ends as it would have.
    asked.answer("in the end");
    assert_eq!(text(long.await.unwrap().unwrap()).await, "in the end");
    first.closed().await;
    drop(second);
}

/// Settings that change nothing.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// `:status: 204` as the answer to the first request.
const NO_CONTENT: &[u8] = &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x89];

/// A GOAWAY, not because of an error, that says that only the first request was looked at.
const GO_AWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];

/// Reads up to a request without a body, and a little more perhaps.
async fn until_request(stream: &mut TcpStream, number: u8) {
    let mut seen = Vec::new();
    // HEADERS, with their end and that of the request.
    while !seen
        .windows(6)
        .any(|frame| frame == [1, 5, 0, 0, 0, number])
    {
        assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
    }
}

fn bodyless_post(path: &str) -> Request<Empty<Bytes>> {
    let mut request = get(path);
    *request.method_mut() = Method::POST;
    request
}

#[tokio::test]
async fn what_an_endpoint_did_nothing_of_goes_out_on_another_connection_whatever_it_is() {
    let origin = Origin::new().await;
    let forward = forward();
    // Not answered by a program that speaks HTTP/2: none would be as rude.
    let (response, _streams) = tokio::join!(
        async {
            let response = origin.call(&forward, get("/warm")).await.unwrap();
            text(response).await;
            origin.call(&forward, bodyless_post("/again")).await
        },
        async {
            let mut raw = origin.accept().await.stream;
            raw.write_all(SETTINGS).await.unwrap();
            until_request(&mut raw, 1).await;
            raw.write_all(NO_CONTENT).await.unwrap();
            until_request(&mut raw, 3).await;
            raw.write_all(GO_AWAY).await.unwrap();
            let mut second = accept(&origin).await;
            second.next().await.answer("there");
            (raw, second)
        }
    );
    assert_eq!(text(response.unwrap()).await, "there");
}

#[tokio::test]
async fn what_an_endpoint_refuses_comes_back_and_speaks_against_nobody() {
    let (origin, forward, mut http2) = warmed().await;
    let request = Request::post("/").header("host", "a.test");
    let (sender, body) = frames();
    let call = tokio::spawn(origin.call(&forward, request.body(body).unwrap()));
    let mut asked = http2.next().await;
    asked.respond.send_reset(Reason::REFUSED_STREAM);
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.failure(), Failure::Refused);
    assert!(error.failure().never_sent());
    drop(sender);
    // Without a body nothing was taken of it.
    let call = tokio::spawn(origin.call(&forward, get("/x")));
    http2
        .next()
        .await
        .respond
        .send_reset(Reason::REFUSED_STREAM);
    let mut error = call.await.unwrap().unwrap_err();
    assert_eq!(error.failure(), Failure::Refused);
    let unsent = TakeUnsent::<Request<Empty<Bytes>>>::take_unsent(&mut error).unwrap();
    assert_eq!(unsent.request.uri(), "/x");
    // The connection is as good as before.
    let call = tokio::spawn(origin.call(&forward, get("/")));
    http2.next().await.answer("ok");
    assert_eq!(text(call.await.unwrap().unwrap()).await, "ok");
    assert_eq!(origin.connections(&forward).made, 1);
}

#[tokio::test]
async fn a_connection_that_breaks_is_stale_if_it_was_idle_and_reset_if_not() {
    let (origin, forward, mut http2) = warmed().await;
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let asked = http2.next().await;
    http2.cut();
    drop(asked);
    assert_eq!(call.await.unwrap().unwrap_err().failure(), Failure::Stale);

    let calls = ["/a", "/b"].map(|path| tokio::spawn(origin.call(&forward, get(path))));
    let mut http2 = accept(&origin).await;
    let asked = (http2.next().await, http2.next().await);
    http2.cut();
    drop(asked);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err().failure(), Failure::Reset);
    }
}

#[tokio::test]
async fn whoever_goes_away_takes_its_request_along() {
    let (origin, forward, mut http2) = warmed().await;
    // Before the response.
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let mut asked = http2.next().await;
    call.abort();
    let reset = std::future::poll_fn(|cx| asked.respond.poll_reset(cx)).await;
    assert_eq!(reset.unwrap(), Reason::CANCEL);
    // Within it.
    let (response, (asked, mut answer)) = tokio::join!(origin.call(&forward, get("/")), async {
        let mut asked = http2.next().await;
        let mut answer = asked.begin(Response::new(()));
        answer
            .send_data(Bytes::from_static(b"part"), false)
            .unwrap();
        (asked, answer)
    });
    drop(response.unwrap());
    let reset = std::future::poll_fn(|cx| answer.poll_reset(cx)).await;
    assert_eq!(reset.unwrap(), Reason::CANCEL);
    drop(asked);
    assert_eq!(origin.record().in_flight(), 0);
    let counts = origin.connections(&forward);
    assert_eq!((counts.open, counts.idle, counts.streams), (1, 1, 0));
}

#[tokio::test]
async fn who_reads_slowly_holds_up_nobody_else() {
    let (origin, forward, mut http2) = warmed().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let (response, mut answer) = tokio::join!(origin.call(&forward, get("/slow")), async {
            http2.next().await.begin(Response::new(()))
        });
        // More than a stream may hold.
        answer.send_data(vec![b'x'; 1 << 20].into(), true).unwrap();
        slow.push(response.unwrap());
    }
    let call = tokio::spawn(origin.call(&forward, get("/")));
    http2.next().await.answer("ok");
    assert_eq!(text(call.await.unwrap().unwrap()).await, "ok");
    for response in slow {
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes().len(), 1 << 20);
    }
}

#[tokio::test]
async fn a_large_upload_goes_at_the_pace_of_the_endpoint() {
    let (origin, forward, mut http2) = warmed().await;
    let body = Full::new(Bytes::from(vec![b'x'; 1 << 22]));
    let request = Request::put("/")
        .header("host", "a.test")
        .body(body)
        .unwrap();
    let call = tokio::spawn(origin.call(&forward, request));
    let mut asked = http2.next().await;
    assert_eq!(asked.request.headers()["content-length"], "4194304");
    assert_eq!(asked.body().await.0.len(), 1 << 22);
    asked.answer("ok");
    assert_eq!(text(call.await.unwrap().unwrap()).await, "ok");
}

#[tokio::test]
async fn a_response_may_come_before_the_request_ended() {
    let (origin, forward, mut http2) = warmed().await;
    let (sender, body) = frames();
    let request = Request::post("/")
        .header("host", "a.test")
        .body(body)
        .unwrap();
    let call = tokio::spawn(origin.call(&forward, request));
    let mut asked = http2.next().await;
    let head = Response::builder().status(413).body(()).unwrap();
    let mut answer = asked.begin(head);
    answer
        .send_data(Bytes::from_static(b"too large"), true)
        .unwrap();
    let response = call.await.unwrap().unwrap();
    // RFC 9113 §8.1: no more of it is wanted.
    asked.respond.send_reset(Reason::NO_ERROR);
    origin.settle().await;
    assert_eq!(response.status(), 413);
    assert_eq!(text(response).await, "too large");
    sender.closed().await;
    assert_eq!(origin.connections(&forward).streams, 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_complete() {
    let (origin, forward, mut http2) = warmed().await;
    for reason in [
        Reason::INTERNAL_ERROR,
        Reason::CANCEL,
        Reason::NO_ERROR,
        Reason::REFUSED_STREAM,
    ] {
        let (response, mut answer) = tokio::join!(origin.call(&forward, get("/")), async {
            http2.next().await.begin(Response::new(()))
        });
        answer
            .send_data(Bytes::from_static(b"part"), false)
            .unwrap();
        let mut body = response.unwrap().into_body();
        assert!(body.frame().await.unwrap().is_ok());
        answer.send_reset(reason);
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.failure(), Failure::Reset, "{reason}");
    }
}

#[tokio::test]
async fn some_responses_have_no_body() {
    let (origin, forward, mut http2) = warmed().await;
    for (method, status) in [(Method::HEAD, 200), (Method::GET, 304), (Method::GET, 204)] {
        let mut request = get("/");
        *request.method_mut() = method.clone();
        let call = tokio::spawn(origin.call(&forward, request));
        let mut asked = http2.next().await;
        let mut head = Response::builder().status(status);
        if status != 204 {
            head = head.header("content-length", "5");
        }
        let head = head.body(()).unwrap();
        asked.respond.send_response(head, true).unwrap();
        let response = call.await.unwrap().unwrap();
        assert_eq!(
            response.headers().contains_key("content-length"),
            status != 204
        );
        assert!(response.body().is_end_stream());
        // As a server does that sees that there is nothing to send.
        drop(response);
        assert_eq!(origin.connections(&forward).streams, 0);
        assert_eq!(origin.record().in_flight(), 0);
    }
}

#[tokio::test]
async fn a_length_that_could_be_read_in_two_ways_is_refused() {
    let (origin, forward, mut http2) = warmed().await;
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let mut asked = http2.next().await;
    let head = Response::builder()
        .header("content-length", "5")
        .header("content-length", "6");
    let _answer = asked.begin(head.body(()).unwrap());
    assert_eq!(
        call.await.unwrap().unwrap_err().failure(),
        Failure::Protocol
    );
}

#[tokio::test]
async fn cookies_and_other_fields_come_back_as_they_are() {
    let (origin, forward, mut http2) = warmed().await;
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let mut asked = http2.next().await;
    let head = Response::builder()
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2");
    let mut answer = asked.begin(head.body(()).unwrap());
    answer.send_data(Bytes::new(), true).unwrap();
    let response = call.await.unwrap().unwrap();
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[tokio::test]
async fn an_endpoint_that_no_longer_answers_gets_no_more_requests() {
    let origin = Origin::new().await;
    let forward = forward();
    let (response, mut stopped) = tokio::join!(origin.call(&forward, get("/warm")), async {
        let mut stream = origin.accept().await.stream;
        stream.write_all(SETTINGS).await.unwrap();
        until_request(&mut stream, 1).await;
        stream.write_all(NO_CONTENT).await.unwrap();
        stream
    });
    text(response.unwrap()).await;
    let call = tokio::spawn(origin.call(&forward, get("/")));
    until_request(&mut stopped, 3).await;
    tokio::time::pause();
    let error = call.await.unwrap().unwrap_err();
    tokio::time::resume();
    assert_eq!(error.failure(), Failure::HeadTimeout);
    let second = warm(&origin, &forward).await;
    // Nobody answered the question whether it is still there, so it is closed.
    let mut seen = Vec::new();
    while !matches!(stopped.read_buf(&mut seen).await, Ok(0) | Err(_)) {}
    assert_eq!(origin.connections(&forward).open, 1);
    drop(second);
}

#[tokio::test]
async fn an_endpoint_that_is_only_slow_keeps_its_connection() {
    let (origin, forward, mut http2) = warmed().await;
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let asked = http2.next().await;
    tokio::time::pause();
    let error = call.await.unwrap().unwrap_err();
    tokio::time::resume();
    assert_eq!(error.failure(), Failure::HeadTimeout);
    // The answer to the question comes.
    origin.settle().await;
    let call = tokio::spawn(origin.call(&forward, get("/")));
    http2.next().await.answer("ok");
    assert_eq!(text(call.await.unwrap().unwrap()).await, "ok");
    assert_eq!(origin.connections(&forward).made, 1);
    drop(asked);
}

#[tokio::test]
async fn a_new_connection_gets_no_more_requests_than_the_endpoint_takes() {
    let origin = Origin::new().await;
    let forward = forward();
    let calls = ["/0", "/1"].map(|path| tokio::spawn(origin.call(&forward, get(path))));
    let mut raw = origin.accept().await.stream;
    // Nothing is sent before the endpoint has said how many it takes: one.
    let mut seen = [0; 1024];
    origin.settle().await;
    let count = raw.read(&mut seen).await.unwrap();
    let begun = &seen[..count];
    assert!(begun.starts_with(b"PRI * HTTP/2.0\r\n"));
    assert!(!begun.windows(3).any(|frame| frame == [1, 5, 0]));
    raw.write_all(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1])
        .await
        .unwrap();
    until_request(&mut raw, 1).await;
    // The other one goes out elsewhere.
    let mut second = accept(&origin).await;
    second.next().await.answer("ok");
    raw.write_all(NO_CONTENT).await.unwrap();
    for call in calls {
        assert!(call.await.unwrap().unwrap().status().is_success());
    }
}
