//! What `server::Http1` does with a connection.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    convert::Infallible,
    future::{pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tightrope_proxy::server::{
    Detected, End, HalfClose, Http1, Interim, OnUpgrade, RequestBody, ServeError, detect,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tower::service_fn;

use crate::support::{BoxError, Origin, get};

type Text = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

const LONG: Duration = Duration::from_secs(3600);

fn text(body: impl Into<Bytes>) -> Response<Text> {
    let body = Full::new(body.into()).map_err(|never| match never {});
    Response::new(body.boxed_unsync())
}

/// A body in these pieces, whose length nobody knows.
fn pieces(frames: Vec<Result<Frame<Bytes>, BoxError>>) -> Response<Text> {
    let frames = futures_util::stream::iter(frames);
    Response::new(StreamBody::new(frames).boxed_unsync())
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// Serves `bytes`, and what comes back until the connection ends; without the lines that say the date.
async fn serve_with(
    http: Http1,
    bytes: &str,
    answer: impl AsyncFn(Request<RequestBody>) -> Result<Response<Text>, BoxError>,
) -> (Result<End, ServeError>, String) {
    let (mut client, server) = duplex(1 << 20);
    client.write_all(bytes.as_bytes()).await.unwrap();
    let answer = &answer;
    let service = service_fn(move |request| answer(request));
    let talk = async {
        let mut answers = String::new();
        let _end = client.read_to_string(&mut answers).await;
        answers
    };
    let (end, answers) = tokio::join!(http.serve(server, service), talk);
    let lines = answers.split_inclusive('\n');
    let lines = lines.filter(|line| !line.starts_with("date: "));
    (end, lines.collect())
}

async fn serve(
    bytes: &str,
    answer: impl AsyncFn(Request<RequestBody>) -> Result<Response<Text>, BoxError>,
) -> (Result<End, ServeError>, String) {
    serve_with(Http1::new(), bytes, answer).await
}

/// Answers with the path, and the body.
async fn echo(request: Request<RequestBody>) -> Result<Response<Text>, BoxError> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await?.to_bytes();
    Ok(text([path.as_bytes(), &body].concat()))
}

const LAST: &str = "GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const LAST_ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n/last";

#[tokio::test]
async fn requests_are_answered_in_their_order() {
    let asked = "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPUT /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab\
                 PUT /3 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\ncd\r\n0\r\n\r\n";
    let (end, answers) = serve(&format!("{asked}{LAST}"), echo).await;
    assert_eq!(end.unwrap(), End::Closed);
    let answer = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let expected = answer("/1") + &answer("/2ab") + &answer("/3cd") + LAST_ANSWER;
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_one_answer_unless_it_asks_for_more() {
    let (end, answers) = serve(&format!("GET /1 HTTP/1.0\r\n\r\n{LAST}"), echo).await;
    // What it sent after its request was not read.
    assert_eq!(end.unwrap(), End::Open);
    assert_eq!(
        answers,
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n/1"
    );
    let keep = "GET /1 HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n";
    let (_, answers) = serve(&format!("{keep}{LAST}"), echo).await;
    let first = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\n/1";
    assert_eq!(answers, format!("{first}{LAST_ANSWER}"));
    // It knows no chunks, so the connection says where the body ends.
    let (_, answers) = serve(keep, async |_| Ok(pieces(vec![data("some"), data("more")]))).await;
    assert_eq!(
        answers,
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nsomemore"
    );
}

#[tokio::test]
async fn a_body_goes_out_as_its_length_is_known() {
    let answer = async |request: Request<RequestBody>| {
        let mut sum = HeaderMap::new();
        sum.insert("x-sum", "1".parse()?);
        Ok(match request.uri().path() {
            "/pieces" => pieces(vec![data("some"), data(""), data("more")]),
            "/trailers" => pieces(vec![data("some"), Ok(Frame::trailers(sum))]),
            "/told" => {
                let mut response = pieces(vec![data("some"), data("more")]);
                response.headers_mut().insert("content-length", 8.into());
                response
            }
            "/large" => pieces(vec![data(LARGE)]),
            _ => text(""),
        })
    };
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    for (path, expected) in [
        ("/", "content-length: 0\r\nconnection: close\r\n\r\n"),
        (
            "/pieces",
            "transfer-encoding: chunked\r\nconnection: close\r\n\r\n4\r\nsome\r\n4\r\nmore\r\n0\r\n\r\n",
        ),
        (
            "/trailers",
            "transfer-encoding: chunked\r\nconnection: close\r\n\r\n4\r\nsome\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
        (
            "/told",
            "content-length: 8\r\nconnection: close\r\n\r\nsomemore",
        ),
    ] {
        let (end, answers) = serve(&ask(path), answer).await;
        assert_eq!(end.unwrap(), End::Closed);
        assert_eq!(answers, format!("HTTP/1.1 200 OK\r\n{expected}"), "{path}");
    }
    let (_, answers) = serve(&ask("/large"), answer).await;
    let (_, body) = answers.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, format!("1000\r\n{LARGE}\r\n0\r\n\r\n"));
}

/// 4 KiB.
const LARGE: &str = match str::from_utf8(&[b'x'; 4096]) {
    Ok(text) => text,
    Err(_) => "",
};

#[tokio::test]
async fn some_answers_have_no_body() {
    let answer = async |request: Request<RequestBody>| {
        let status = request.uri().path()[1..].parse()?;
        let mut response = text("body");
        *response.status_mut() = status;
        if request.uri().query().is_some() {
            response.headers_mut().insert("content-length", 7.into());
        }
        Ok(response)
    };
    for (asked, expected) in [
        ("HEAD /200", "200 OK\r\ncontent-length: 4\r\n"),
        ("HEAD /200?told", "200 OK\r\ncontent-length: 7\r\n"),
        ("GET /204", "204 No Content\r\n"),
        ("GET /204?told", "204 No Content\r\n"),
        ("GET /304?told", "304 Not Modified\r\ncontent-length: 7\r\n"),
    ] {
        let bytes = format!("{asked} HTTP/1.1\r\nhost: a\r\n\r\n{LAST}").replace("/last", "/204");
        let (_, answers) = serve(&bytes, answer).await;
        let last = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
        assert_eq!(answers, format!("HTTP/1.1 {expected}\r\n{last}"), "{asked}");
    }
}

#[tokio::test]
async fn fields_that_frame_are_ours_and_others_pass() {
    let (_, answers) = serve(LAST, async |_| {
        let mut response = text("ok");
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        let headers = response.headers_mut();
        headers.insert("transfer-encoding", "gzip".parse()?);
        headers.insert("connection", "x-a".parse()?);
        headers.append("x-a", "1".parse()?);
        headers.append("x-a", "2".parse()?);
        headers.insert("content-length", "x".parse()?);
        Ok(response)
    })
    .await;
    assert_eq!(
        answers,
        "HTTP/1.1 418 I'm a teapot\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    );
}

#[tokio::test]
async fn an_answer_says_when_it_was() {
    let (mut client, server) = duplex(1024);
    client.write_all(LAST.as_bytes()).await.unwrap();
    let dated = service_fn(async |_: Request<RequestBody>| {
        let response = Response::builder().header("date", "then");
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    Http1::new().serve(server, dated).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer.matches("date: ").count(), 1, "{answer}");

    let (mut client, server) = duplex(1024);
    client.write_all(LAST.as_bytes()).await.unwrap();
    let plain = service_fn(async |_: Request<RequestBody>| {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    Http1::new().serve(server, plain).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let date = answer.lines().find_map(|line| line.strip_prefix("date: "));
    httpdate::parse_http_date(date.unwrap()).unwrap();
}

const EXPECT: &str =
    "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn who_expects_it_is_told_to_go_on_when_its_body_is_read() {
    let (mut client, server) = duplex(1024);
    let (go, may_go) = oneshot::channel::<()>();
    let may_go = Arc::new(tokio::sync::Mutex::new(Some(may_go)));
    let service = service_fn(move |request: Request<RequestBody>| {
        let may_go = Arc::clone(&may_go);
        async move {
            if let Some(may_go) = may_go.lock().await.take() {
                let _told = may_go.await;
            }
            echo(request).await
        }
    });
    let served = tokio::spawn(Http1::new().serve(server, service));
    client.write_all(EXPECT.as_bytes()).await.unwrap();
    let early = poll_fn(|cx| {
        let mut byte = [0];
        let mut byte = tokio::io::ReadBuf::new(&mut byte);
        let read = tokio::io::AsyncRead::poll_read(Pin::new(&mut client), cx, &mut byte);
        Poll::Ready(read.is_pending())
    });
    tokio::task::yield_now().await;
    assert!(early.await);
    go.send(()).unwrap();
    let mut told = [0; 25];
    client.read_exact(&mut told).await.unwrap();
    assert_eq!(told, *b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"ab").await.unwrap();
    client.write_all(LAST.as_bytes()).await.unwrap();
    let mut answers = String::new();
    client.read_to_string(&mut answers).await.unwrap();
    assert!(
        answers.contains("\r\n\r\n/abHTTP/1.1 200 OK\r\n"),
        "{answers}"
    );
    assert_eq!(served.await.unwrap().unwrap(), End::Closed);
}

#[tokio::test]
async fn who_sends_its_body_at_once_or_is_refused_is_not_told_to_go_on() {
    let (_, answers) = serve(&format!("{EXPECT}ab{LAST}"), echo).await;
    assert!(!answers.contains("100"), "{answers}");
    // Whether the body comes, nobody knows.
    let (end, answers) = serve(EXPECT, async |_| {
        let mut response = text("");
        *response.status_mut() = StatusCode::EXPECTATION_FAILED;
        Ok(response)
    })
    .await;
    assert_eq!(end.unwrap(), End::Open);
    assert_eq!(
        answers,
        "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
}

#[tokio::test]
async fn a_body_may_be_read_elsewhere_and_after_the_answer() {
    let (mut client, server) = duplex(64);
    let (sender, mut bodies) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<RequestBody>| {
        let sender = sender.clone();
        tokio::spawn(async move {
            let body = request.into_body().collect().await;
            let _gone = sender.send(body.map(|body| body.to_bytes()).ok());
        });
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::new(
            "early".into(),
        ))))
    });
    let served = tokio::spawn(Http1::new().serve(server, service));
    for _ in 0..2 {
        let head = b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n";
        client.write_all(head).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"early") {
            client.read_buf(&mut answer).await.unwrap();
        }
        client.write_all(&[b'x'; 1000]).await.unwrap();
        assert_eq!(bodies.recv().await.unwrap().unwrap().len(), 1000);
    }
    drop(client);
    assert_eq!(served.await.unwrap().unwrap(), End::Closed);
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_passed_over_if_it_is_there_and_ends_the_connection_if_not() {
    let ignore = async |_| Ok(text("ok"));
    for framed in [
        "content-length: 2\r\n\r\nab",
        "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    ] {
        let bytes = format!("PUT / HTTP/1.1\r\nhost: a\r\n{framed}{LAST}");
        let (end, answers) = serve(&bytes, ignore).await;
        assert_eq!(end.unwrap(), End::Closed);
        assert_eq!(answers.matches("200 OK").count(), 2, "{answers}");
    }
    let (end, answers) = serve(
        "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nab",
        ignore,
    )
    .await;
    assert_eq!(end.unwrap(), End::Open);
    assert_eq!(
        answers,
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    );
}

/// Tells when it is dropped.
struct Held(Option<oneshot::Sender<()>>);

impl Drop for Held {
    fn drop(&mut self) {
        let _gone = self.0.take().unwrap().send(());
    }
}

/// Never ends.
struct Endless(#[expect(dead_code, reason = "is dropped with the body")] Held);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn what_is_done_for_a_client_that_is_gone_ends_at_once() {
    for is_answered in [false, true] {
        let (mut client, server) = duplex(1024);
        let (dropped, mut is_dropped) = oneshot::channel();
        let mut held = Some(Held(Some(dropped)));
        let service = service_fn(move |_: Request<RequestBody>| {
            let held = held.take().unwrap();
            async move {
                if !is_answered {
                    pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(Endless(held)))
            }
        });
        let served = tokio::spawn(Http1::new().serve(server, service));
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        if is_answered {
            client.read_u8().await.unwrap();
        } else {
            tokio::task::yield_now().await;
        }
        assert!(is_dropped.try_recv().is_err());
        client.shutdown().await.unwrap();
        assert_eq!(served.await.unwrap().unwrap(), End::Closed);
        is_dropped.await.unwrap();
    }
}

#[tokio::test]
async fn who_only_sends_no_more_may_be_answered() {
    let (mut client, server) = duplex(1024);
    let service = service_fn(async |request: Request<RequestBody>| {
        tokio::task::yield_now().await;
        echo(request).await
    });
    let http = Http1::new().with_half_close(HalfClose::Answered);
    let talk = async {
        client
            .write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (end, answer) = tokio::join!(http.serve(server, service), talk);
    assert_eq!(end.unwrap(), End::Closed);
    assert!(answer.ends_with("\r\n\r\n/a"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_head_comes_in_time() {
    let http = Http1::new().with_head_timeout(Duration::from_secs(5));
    let late = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n/1";
    let first = "GET /1 HTTP/1.1\r\nhost: a\r\n\r\n";
    for (bytes, answer, end) in [
        (String::new(), String::new(), End::Closed),
        ("GET / HT".to_owned(), late.to_owned(), End::Open),
        (first.to_owned(), ok.to_owned(), End::Closed),
        (format!("{first}GET"), format!("{ok}{late}"), End::Open),
    ] {
        let start = Instant::now();
        let (ended, answers) = serve_with(http, &bytes, echo).await;
        assert_eq!(start.elapsed(), Duration::from_secs(5), "{bytes:?}");
        assert_eq!((ended.unwrap(), answers), (end, answer), "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_gets_no_more_time_and_a_slow_answer_does() {
    let http = Http1::new().with_head_timeout(Duration::from_secs(5));
    let (mut client, server) = duplex(1024);
    let service = service_fn(async |request: Request<RequestBody>| {
        tokio::time::sleep(LONG).await;
        echo(request).await
    });
    let served = tokio::spawn(http.serve(server, service));
    client
        .write_all(b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"/1") {
        client.read_buf(&mut answer).await.unwrap();
    }
    let start = Instant::now();
    for byte in b"GET /2 HTTP/1.1\r\n" {
        if client.write_u8(*byte).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    // The first byte that was too late.
    assert_eq!(start.elapsed(), Duration::from_millis(5600));
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(served.await.unwrap().unwrap(), End::Open);
}

#[tokio::test]
async fn a_head_has_limits() {
    let http = Http1::new().with_max_head(1000).with_max_fields(3);
    let get =
        |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
    let many = "x-a: 1\r\n".repeat(2);
    let (_, answers) = serve_with(http, &(get("/", &many) + LAST), echo).await;
    assert_eq!(answers.matches("200 OK").count(), 2, "{answers}");
    let long = |length: usize| format!("x-a: {}\r\n", "a".repeat(length));
    for (bytes, status) in [
        (get("/", &"x-a: 1\r\n".repeat(3)), "431"),
        (get("/", &long(1000)), "431"),
        // Nobody need wait for its end.
        (format!("GET / HTTP/1.1\r\n{}", long(1000)), "431"),
        (format!("GET /{}", "a".repeat(1000)), "431"),
    ] {
        let (end, answers) = serve_with(http, &bytes, echo).await;
        assert_eq!(end.unwrap(), End::Open);
        assert!(
            answers.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answers}"
        );
        assert!(answers.contains("\r\nconnection: close\r\n"), "{answers}");
    }
    let target = format!("/{}", "a".repeat(1 << 16));
    let http = Http1::new().with_max_head(1 << 17);
    let (_, answers) = serve_with(http, &get(&target, ""), echo).await;
    assert!(answers.starts_with("HTTP/1.1 414 "), "{answers}");
    let http = Http1::new().with_max_fields(200);
    let (_, answers) = serve_with(http, &(get("/", &"x-a: 1\r\n".repeat(199)) + LAST), echo).await;
    assert_eq!(answers.matches("200 OK").count(), 2, "{answers}");
}

#[tokio::test]
async fn a_connection_that_is_closing_ends_between_requests_and_says_so_within_one() {
    let (_client, server) = duplex(1024);
    let service = service_fn(echo);
    let mut connection = pin!(Http1::new().serve(server, service));
    let first = poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    connection.graceful_shutdown();
    assert_eq!(connection.await.unwrap(), End::Closed);

    let (mut client, server) = duplex(1024);
    let (go, may_go) = oneshot::channel::<()>();
    let mut may_go = Some(may_go);
    let service = service_fn(move |request: Request<RequestBody>| {
        let may_go = may_go.take().unwrap();
        async move {
            let _told = may_go.await;
            echo(request).await
        }
    });
    client
        .write_all(b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut connection = pin!(Http1::new().serve(server, service));
    let first = poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    connection.graceful_shutdown();
    go.send(()).unwrap();
    let mut answer = String::new();
    let (end, _) = tokio::join!(connection, client.read_to_string(&mut answer));
    assert_eq!(end.unwrap(), End::Closed);
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_fails_never_looks_whole() {
    let failing = async |_| Ok(pieces(vec![data("some"), Err("broken".into())]));
    let (end, answers) = serve(LAST, failing).await;
    assert!(matches!(end, Err(ServeError::Body(_))), "{end:?}");
    assert!(!answers.contains("0\r\n\r\n"), "{answers}");
    for told in [3_u64, 5] {
        let (end, answers) = serve(LAST, async |_| {
            let mut response = pieces(vec![data("some")]);
            response.headers_mut().insert("content-length", told.into());
            Ok(response)
        })
        .await;
        assert!(matches!(end, Err(ServeError::Length)), "{end:?}");
        let (_, body) = answers.split_once("\r\n\r\n").unwrap_or_default();
        assert_ne!(body.len() as u64, told);
    }
    let (end, answers) = serve(LAST, async |_| Err("broken".into())).await;
    assert!(matches!(end, Err(ServeError::Service(_))), "{end:?}");
    assert_eq!(answers, "");
}

#[tokio::test]
async fn interim_answers_come_before_the_answer() {
    let hint = async |request: Request<RequestBody>| {
        if let Some(interim) = request.extensions().get::<Interim>().cloned() {
            let mut fields = HeaderMap::new();
            fields.insert("link", "</a>".parse()?);
            interim.send(StatusCode::EARLY_HINTS, &fields);
            interim.send(StatusCode::PROCESSING, &HeaderMap::new());
            for other in [StatusCode::OK, StatusCode::SWITCHING_PROTOCOLS] {
                interim.send(other, &fields);
            }
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                // Too late.
                interim.send(StatusCode::EARLY_HINTS, &fields);
            });
        }
        Ok(text("ok"))
    };
    let (_, answers) = serve(&format!("GET / HTTP/1.1\r\nhost: a\r\n\r\n{LAST}"), hint).await;
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    assert_eq!(answers, format!("{interim}{ok}{interim}{last}"));
    let (_, answers) = serve("GET / HTTP/1.0\r\n\r\n", hint).await;
    assert!(!answers.contains("103"), "{answers}");
}

#[tokio::test]
async fn an_interim_answer_goes_out_while_the_answer_is_awaited() {
    let (mut client, server) = duplex(1024);
    let service = service_fn(async |request: Request<RequestBody>| {
        let interim = request.extensions().get::<Interim>().cloned().unwrap();
        // From another task.
        tokio::spawn(async move { interim.send(StatusCode::EARLY_HINTS, &HeaderMap::new()) });
        pending::<()>().await;
        echo(request).await
    });
    let served = tokio::spawn(Http1::new().serve(server, service));
    client.write_all(LAST.as_bytes()).await.unwrap();
    let mut hint = [0; 28];
    client.read_exact(&mut hint).await.unwrap();
    assert_eq!(hint, *b"HTTP/1.1 103 Early Hints\r\n\r\n");
    served.abort();
}

#[tokio::test]
async fn no_interim_answer_is_the_answer() {
    for status in [100, 101, 103] {
        let (end, answers) = serve(LAST, async |_| {
            let mut response = text("");
            *response.status_mut() = StatusCode::from_u16(status)?;
            Ok(response)
        })
        .await;
        assert_eq!(end.unwrap(), End::Closed);
        assert!(answers.starts_with("HTTP/1.1 500 "), "{answers}");
    }
}

const UPGRADE: &str =
    "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

#[tokio::test]
async fn an_upgrade_hands_the_connection_over_with_what_came_already() {
    let (mut client, server) = duplex(1024);
    let service = service_fn(async |mut request: Request<RequestBody>| {
        let upgrade = request.extensions_mut().remove::<OnUpgrade>().unwrap();
        tokio::spawn(async move {
            let mut tunnel = upgrade.await?;
            let mut heard = [0; 9];
            tunnel.read_exact(&mut heard).await?;
            tunnel.write_all(&heard).await?;
            tunnel.shutdown().await?;
            let mut rest = String::new();
            tunnel.read_to_string(&mut rest).await?;
            assert_eq!(rest, "end");
            io::Result::Ok(())
        });
        let mut response = text("");
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert("connection", "upgrade".parse()?);
        headers.insert("upgrade", "websocket".parse()?);
        Ok::<_, BoxError>(response)
    });
    client
        .write_all(format!("{UPGRADE}early").as_bytes())
        .await
        .unwrap();
    let served = Http1::new().serve(server, service).await;
    assert_eq!(served.unwrap(), End::Closed);
    client.write_all(b"late").await.unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    assert_eq!(
        heard,
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearlylate"
    );
    client.write_all(b"end").await.unwrap();
}

#[tokio::test]
async fn an_upgrade_that_is_not_granted_is_a_request_like_any_other() {
    let (sender, mut refused) = mpsc::unbounded_channel();
    let (_, answers) = serve(&format!("{UPGRADE}{LAST}"), async |mut request| {
        if let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut again = upgrade.clone();
                let first = upgrade.await.map_err(|error| error.kind());
                let second = (&mut again).await.map_err(|error| error.kind());
                let _gone = sender.send([first.err(), second.err()]);
            });
        }
        Ok(text("ok"))
    })
    .await;
    assert_eq!(answers.matches("200 OK").count(), 2, "{answers}");
    let refused = refused.recv().await.unwrap();
    assert_eq!(refused, [Some(io::ErrorKind::NotConnected); 2]);
}

/// Counts the pieces that were taken of it.
struct Counted(Arc<std::sync::atomic::AtomicUsize>);

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 1000])))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_holds_little() {
    let (mut client, server) = duplex(1024);
    let taken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let body = Counted(Arc::clone(&taken));
    let mut body = Some(body);
    let service = service_fn(move |_: Request<RequestBody>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(body.take().unwrap())))
    });
    let connection = Http1::new().serve(server, service);
    client.write_all(LAST.as_bytes()).await.unwrap();
    assert!(timeout(LONG, connection).await.is_err());
    let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
    assert!((1..=18).contains(&taken), "{taken}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_read_is_not_taken_from_the_client() {
    let (mut client, server) = duplex(1024);
    let service = service_fn(async |request: Request<RequestBody>| {
        let _kept = request;
        pending::<Result<Response<Text>, BoxError>>().await
    });
    let served = tokio::spawn(Http1::new().serve(server, service));
    let head = b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n";
    client.write_all(head).await.unwrap();
    let mut sent = 0;
    while timeout(LONG, client.write_all(&[0; 1000])).await.is_ok() {
        sent += 1000;
    }
    assert!(sent <= 10_000, "{sent}");
    served.abort();
}

/// A client of a server that forwards to `origin`.
fn front(origin: &Origin) -> DuplexStream {
    let (client, server) = duplex(1 << 16);
    let forward = tightrope_proxy::Forward::default();
    let upstream = origin.upstream.clone();
    let service = service_fn(move |request: Request<RequestBody>| {
        let picked = tightrope_upstream::Picked::new(request, crate::support::pick(&upstream));
        tower::ServiceExt::oneshot(forward.clone(), picked)
    });
    tokio::spawn(async move { Http1::new().serve(server, service).await.is_ok() });
    client
}

#[tokio::test]
async fn interim_answers_of_an_endpoint_are_passed_on() {
    let origin = Origin::new().await;
    let mut client = front(&origin);
    client.write_all(LAST.as_bytes()).await.unwrap();
    let mut peer = origin.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\n")
        .await;
    let mut hint = [0; 40];
    client.read_exact(&mut hint).await.unwrap();
    assert_eq!(hint, *b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        .await;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 204 No Content\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn trailers_of_an_endpoint_are_passed_on() {
    let origin = Origin::new().await;
    let mut client = front(&origin);
    client.write_all(LAST.as_bytes()).await.unwrap();
    let mut peer = origin.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\nhost: b\r\n\r\n")
        .await;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.ends_with("\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn without_a_server_of_ours_interim_answers_are_left_out() {
    let origin = Origin::new().await;
    let forward = tightrope_proxy::Forward::default();
    let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
            .await;
    });
    assert_eq!(response.unwrap().status(), 204);
}

#[tokio::test]
async fn what_a_client_speaks_is_told_however_it_comes_and_nothing_is_lost() {
    const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (bytes, is_http2) in [
        (PREFACE.to_owned(), true),
        (format!("{PREFACE}and frames"), true),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\rx".to_owned(), false),
        ("PRI * HTTP/1.1\r\nhost: a.test\r\n\r\n".to_owned(), false),
        ("PRI *".to_owned(), false),
        ("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n".to_owned(), false),
        ("\0".to_owned(), false),
        (String::new(), false),
    ] {
        for at_once in [1, 5, 100] {
            let (mut client, mut socket) = duplex(at_once);
            let bytes = bytes.clone();
            let sent = bytes.clone();
            let send = tokio::spawn(async move {
                client.write_all(sent.as_bytes()).await.unwrap();
                client.shutdown().await.unwrap();
                client
            });
            let read = match detect(&mut socket).await.unwrap() {
                Detected::Http1(read) if !is_http2 => read,
                Detected::Http2(read) if is_http2 => read,
                other => panic!("{bytes:?} is {other:?}"),
            };
            let mut all = read.to_vec();
            socket.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, bytes.as_bytes());
            send.await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_read_before_is_served() {
    let request = "GET /a HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
    for before in [0, 1, 20, request.len()] {
        let (mut client, socket) = duplex(1024);
        let (read, rest) = request.as_bytes().split_at(before);
        client.write_all(rest).await.unwrap();
        let served = Http1::new().serve_read(socket, read.into(), service_fn(echo));
        let mut answer = String::new();
        let (end, read) = tokio::join!(served, client.read_to_string(&mut answer));
        assert_eq!(end.unwrap(), End::Closed);
        read.unwrap();
        assert!(answer.ends_with("\r\n\r\n/a"), "{answer}");
    }
}
