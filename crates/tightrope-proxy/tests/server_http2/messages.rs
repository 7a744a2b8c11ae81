//! Requests and responses.

use std::{convert::Infallible, future::pending};

use h2::Reason;
use http::{HeaderMap, StatusCode, header::DATE};
use http_body::Frame;
use tightrope_proxy::server::Interim;

use super::*;
use crate::support::{FrameSender, data, frames};

#[tokio::test(start_paused = true)]
async fn bodies_and_trailers_pass_both_ways_side_by_side() {
    let mut talk = talk(&Http2::new(), async |request: Request<RequestBody>| {
        Ok(answer(request.into_body()))
    })
    .await;
    let mut asked = Vec::new();
    for number in 0..50 {
        let (response, body) = talk.requests.send_request(post("/"), false).unwrap();
        asked.push((number, response, body));
    }
    // One piece of each in turn, so that all are under way at once.
    for (number, _, body) in &mut asked {
        let piece = format!("one of {number}, ");
        body.send_data(piece.into(), false).unwrap();
    }
    for (number, _, body) in &mut asked {
        body.send_data("two".into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-number", (*number).into());
        body.send_trailers(trailers).unwrap();
    }
    for (number, response, _body) in asked {
        let response = soon(response).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("content-length"));
        let (text, trailers) = soon(read(response.into_body())).await.unwrap();
        assert_eq!(text, format!("one of {number}, two"));
        assert_eq!(trailers.unwrap()["x-number"], number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn the_length_of_a_request_is_known_and_an_empty_one_has_none() {
    let mut talk = talk(&Http2::new(), async |request: Request<RequestBody>| {
        let hint = request.body().size_hint();
        let is_end = request.body().is_end_stream();
        let told = format!("{:?} {is_end}", hint.exact());
        request.into_body().collect().await?;
        Ok(answer(Full::new(Bytes::from(told))))
    })
    .await;
    assert_eq!(talk.text("/").await, "Some(0) true");
    for (length, told) in [(Some("3"), "Some(3) false"), (None, "None false")] {
        let mut request = post("/");
        if let Some(length) = length {
            let length = length.parse().unwrap();
            request.headers_mut().insert("content-length", length);
        }
        let (response, mut body) = talk.requests.send_request(request, false).unwrap();
        body.send_data("abc".into(), true).unwrap();
        let response = soon(response).await.unwrap();
        assert_eq!(soon(read(response.into_body())).await.unwrap().0, told);
    }
}

#[tokio::test(start_paused = true)]
async fn heads_say_what_http_2_has_and_end_streams_that_have_no_body() {
    let mut talk = talk(&Http2::new(), async |request: Request<RequestBody>| {
        let mut response = text("body");
        let status = request.uri().path()[1..].parse();
        *response.status_mut() = status.unwrap_or(StatusCode::OK);
        for (name, value) in [
            ("connection", "keep-alive, x-hop"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-hop", "1"),
            ("x-kept", "1"),
        ] {
            response.headers_mut().append(name, value.parse().unwrap());
        }
        Ok(response)
    })
    .await;
    for (method, path, length) in [
        ("GET", "/200", Some("4")),
        ("HEAD", "/200", Some("4")),
        ("GET", "/304", Some("4")),
        ("GET", "/204", None),
        // An interim response is none to a request.
        ("GET", "/103", None),
    ] {
        let mut request = get(path);
        *request.method_mut() = method.parse().unwrap();
        let response = soon(talk.ask(request)).await.unwrap();
        let is_bodyless = (method, path) != ("GET", "/200");
        assert_eq!(response.body().is_end_stream(), is_bodyless, "{path}");
        let headers = response.headers();
        assert!(headers.contains_key(DATE));
        let told = headers
            .get("content-length")
            .map(|told| told.to_str().unwrap());
        assert_eq!(told, length, "{method} {path}");
        if path == "/103" {
            assert_eq!(response.status(), 500);
            continue;
        }
        let count = headers.keys().count() - usize::from(length.is_some());
        assert_eq!((&headers["x-kept"], count), (&"1".parse().unwrap(), 2));
    }
}

#[tokio::test(start_paused = true)]
async fn interim_responses_come_before_the_response_and_never_after() {
    let mut talk = talk(&Http2::new(), async |request: Request<RequestBody>| {
        let interim = request.extensions().get::<Interim>().unwrap().clone();
        let mut hints = HeaderMap::new();
        hints.insert("link", "</a.css>".parse().unwrap());
        hints.insert("connection", "close".parse().unwrap());
        interim.send(StatusCode::EARLY_HINTS, &hints);
        interim.send(StatusCode::OK, &hints);
        interim.send(StatusCode::SWITCHING_PROTOCOLS, &hints);
        // Too much of it.
        hints.insert("x-long", "a".repeat(16 * 1024).parse().unwrap());
        interim.send(StatusCode::EARLY_HINTS, &hints);
        let body = request.into_body().collect().await?.to_bytes();
        let (sender, frames) = frames();
        tokio::spawn(async move {
            let _taken = sender.send(Ok(Frame::data(body))).await;
            interim.send(StatusCode::EARLY_HINTS, &HeaderMap::new());
        });
        Ok(answer(frames))
    })
    .await;
    let mut request = post("/");
    let expectation = "100-Continue".parse().unwrap();
    request.headers_mut().insert("expect", expectation);
    let (mut response, mut body) = talk.requests.send_request(request, false).unwrap();
    let mut next = async || soon(std::future::poll_fn(|cx| response.poll_informational(cx))).await;
    let hints = next().await.unwrap().unwrap();
    assert_eq!(
        (hints.status(), &hints.headers()["link"]),
        (StatusCode::EARLY_HINTS, &"</a.css>".parse().unwrap())
    );
    assert_eq!(hints.headers().len(), 1);
    let go_on = next().await.unwrap().unwrap();
    assert_eq!(go_on.status(), StatusCode::CONTINUE);
    body.send_data("body".into(), true).unwrap();
    assert!(next().await.is_none());
    let response = soon(response).await.unwrap();
    assert_eq!(soon(read(response.into_body())).await.unwrap().0, "body");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_came_is_not_asked_for() {
    let mut talk = talk(&Http2::new(), async |request: Request<RequestBody>| {
        // All of it is there before anybody looks.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let body = request.into_body().collect().await?.to_bytes();
        Ok(answer(Full::new(body)))
    })
    .await;
    let mut request = post("/");
    let expectation = "100-continue".parse().unwrap();
    request.headers_mut().insert("expect", expectation);
    let (mut response, mut body) = talk.requests.send_request(request, false).unwrap();
    body.send_data("body".into(), true).unwrap();
    let interim = std::future::poll_fn(|cx| response.poll_informational(cx));
    assert!(soon(interim).await.is_none());
    assert_eq!(soon(response).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_early_response_is_whole_and_ends_the_upload_without_an_error() {
    let mut talk = talk(&Http2::new(), async |_request| {
        let mut response = text("too large");
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        Ok(response)
    })
    .await;
    let (response, mut body) = talk.requests.send_request(post("/"), false).unwrap();
    body.send_data("and so on".into(), false).unwrap();
    let response = soon(response).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        soon(read(response.into_body())).await.unwrap().0,
        "too large"
    );
    let reset = soon(std::future::poll_fn(|cx| body.poll_reset(cx))).await;
    assert_eq!(reset.unwrap(), Reason::NO_ERROR);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_read_of_a_body_holds_its_client_back() {
    let (open, opened) = oneshot::channel();
    let mut opened = Some(opened);
    let config = Http2::new().with_windows(10, 1000);
    let mut talk = talk(&config, move |request: Request<RequestBody>| {
        let opened = opened.take().unwrap();
        async move {
            opened.await?;
            let body = request.into_body().collect().await?.to_bytes();
            Ok(answer(Full::new(body)))
        }
    })
    .await;
    let (response, mut body) = talk.requests.send_request(post("/"), false).unwrap();
    body.reserve_capacity(1000);
    let mut sent = 0;
    loop {
        let capacity = std::future::poll_fn(|cx| body.poll_capacity(cx));
        let Ok(capacity) = timeout(Duration::from_secs(3), capacity).await else {
            break;
        };
        let capacity = capacity.unwrap().unwrap();
        body.send_data(vec![b'x'; capacity].into(), false).unwrap();
        sent += capacity;
    }
    // The client begins with the window that the RFC gives it, unless it has seen ours.
    assert_eq!(sent, 10);
    open.send(()).unwrap();
    while sent < 1000 {
        let capacity = std::future::poll_fn(|cx| body.poll_capacity(cx));
        let capacity = soon(capacity).await.unwrap().unwrap().min(1000 - sent);
        sent += capacity;
        body.send_data(vec![b'x'; capacity].into(), sent == 1000)
            .unwrap();
    }
    let response = soon(response).await.unwrap();
    assert_eq!(
        soon(read(response.into_body())).await.unwrap().0.len(),
        1000
    );
}

#[tokio::test(start_paused = true)]
async fn long_bodies_pass_whole_through_windows_of_any_size() {
    for window in [1, 1000, 20_000, 1_000_000] {
        let mut client = h2::client::Builder::new();
        client.initial_window_size(window);
        let config = Http2::new().with_send_buffer(5000);
        let size = window.clamp(100, 70_000) as usize * 3;
        let mut talk = talk_with(&config, &client, move |_request| {
            let (sender, body) = frames();
            tokio::spawn(async move {
                let mut left = Bytes::from(vec![b'x'; size]);
                for part in [1, 0, 7000, 30_000, 1, size] {
                    let part = left.split_to(part.min(left.len()));
                    sender.send(Ok(Frame::data(part))).await.unwrap();
                }
            });
            async { Ok(answer(body)) }
        })
        .await;
        let asked = (0..3).map(|_| talk.ask(get("/")));
        // All are read at once, as they share the window of the connection.
        let read: Vec<_> = asked
            .map(|asked| tokio::spawn(async { read(asked.await?.into_body()).await }))
            .collect();
        for read in read {
            let (text, _) = soon(read).await.unwrap().unwrap();
            assert_eq!(text.len(), size, "{window}");
        }
    }
}

/// Answers `/body` with a body that is fed from here, and nothing else; tells when a request is let go.
async fn unfinished() -> (Talk, FrameSender, Arc<Notify>) {
    let freed = Arc::new(Notify::new());
    let noted = Arc::clone(&freed);
    let (body_sender, body) = frames();
    let mut body = Some(body);
    let talk = talk(&Http2::new(), move |request: Request<RequestBody>| {
        let guard = Guard(Arc::clone(&noted));
        let body = (request.uri().path() == "/body").then(|| body.take().unwrap());
        async move {
            match body {
                Some(body) => Ok(answer(body)),
                None => {
                    let _held = (guard, request);
                    pending().await
                }
            }
        }
    })
    .await;
    (talk, body_sender, freed)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_resets_its_stream_frees_all_of_it_at_once() {
    let (mut talk, body_sender, freed) = unfinished().await;
    let mut asked = talk.ask(get("/held"));
    assert!(timeout(Duration::from_secs(1), &mut asked).await.is_err());
    drop(asked);
    soon(freed.notified()).await;

    let response = talk.get("/body").await.unwrap();
    soon(freed.notified()).await;
    body_sender.send(data("one")).await.unwrap();
    drop(response);
    soon(body_sender.closed()).await;
    assert!(!talk.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_connection_frees_all_of_it_at_once() {
    let (mut talk, body_sender, freed) = unfinished().await;
    let _response = talk.get("/body").await.unwrap();
    soon(freed.notified()).await;
    let mut asked = talk.ask(get("/held"));
    assert!(timeout(Duration::from_secs(1), &mut asked).await.is_err());
    talk.client.abort();
    soon(freed.notified()).await;
    soon(body_sender.closed()).await;
    let _ended = soon(talk.served).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_given_up_is_told_from_a_connection_that_broke() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let mut talk = talk(&Http2::new(), move |request: Request<RequestBody>| {
        let told = told.clone();
        // Outlives the stream, as an upload that goes on without its response may.
        tokio::spawn(async move {
            let error = request.into_body().collect().await.unwrap_err();
            told.send(error.is_reset()).unwrap();
        });
        pending()
    })
    .await;
    let (_response, mut body) = talk.requests.send_request(post("/"), false).unwrap();
    body.send_data("one".into(), false).unwrap();
    body.send_reset(Reason::CANCEL);
    assert_eq!(soon(tells.recv()).await, Some(true));
    let (_response, mut body) = talk.requests.send_request(post("/"), false).unwrap();
    body.send_data("one".into(), false).unwrap();
    assert!(timeout(Duration::from_secs(1), tells.recv()).await.is_err());
    talk.client.abort();
    assert_eq!(soon(tells.recv()).await, Some(false));
}

#[tokio::test(start_paused = true)]
async fn what_fails_within_a_request_resets_its_stream_alone() {
    let mut talk = talk(&Http2::new(), async |request: Request<RequestBody>| {
        let (sender, body) = frames();
        match request.uri().path() {
            "/service" => return Err("no response".into()),
            "/panic" => panic!("a service that panics"),
            "/body" => sender.send(Err("no body".into())).await.unwrap(),
            "/short" => sender.send(data("abc")).await.unwrap(),
            "/long" => sender.send(data("abcdefghijk")).await.unwrap(),
            "/trailers" => sender
                .send(Ok(Frame::trailers(HeaderMap::new())))
                .await
                .unwrap(),
            "/missing" => {
                let mut response = text("");
                response.headers_mut().insert("content-length", 7.into());
                return Ok(response);
            }
            _ => return Ok(text("fine")),
        }
        let mut response = answer(body);
        response.headers_mut().insert("content-length", 10.into());
        Ok(response)
    })
    .await;
    for path in [
        "/service",
        "/body",
        "/short",
        "/long",
        "/trailers",
        "/missing",
        "/panic",
    ] {
        let response = talk.get(path).await;
        let error = match response {
            Err(error) => error,
            Ok(response) => soon(read(response.into_body())).await.unwrap_err(),
        };
        let reason = match path {
            "/panic" => Reason::CANCEL,
            _ => Reason::INTERNAL_ERROR,
        };
        assert!(error.is_reset() && error.is_remote(), "{path}: {error}");
        assert_eq!(error.reason(), Some(reason), "{path}");
        assert_eq!(talk.text("/").await, "fine", "after {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_is_waited_for() {
    struct Late(std::pin::Pin<Box<tokio::time::Sleep>>);

    impl tower_service::Service<Request<RequestBody>> for Late {
        type Response = Answer;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Answer, Infallible>>;

        fn poll_ready(
            &mut self,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            self.0.as_mut().poll(cx).map(Ok)
        }

        fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
            std::future::ready(Ok(text("late")))
        }
    }

    let (near, far) = duplex(64 * 1024);
    let late = Late(Box::pin(tokio::time::sleep(Duration::from_secs(5))));
    tokio::spawn(Http2::new().serve(far, late));
    let (mut requests, connection) = h2::client::handshake(near).await.unwrap();
    tokio::spawn(connection);
    let begun = tokio::time::Instant::now();
    let asked = requests.send_request(get("/"), true).unwrap().0;
    let response = soon(asked).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    assert_eq!(soon(read(response.into_body())).await.unwrap().0, "late");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_the_method_cannot_have_is_refused() {
    let mut talk = talk(&Http2::new(), async |_| Ok(text("fine"))).await;
    for (method, status) in [("OPTIONS", 200), ("GET", 400), ("HEAD", 400)] {
        let target = http::Uri::builder().scheme("http").authority("a.test");
        let target = target.path_and_query("*").build().unwrap();
        let request = Request::builder().method(method).uri(target);
        let response = soon(talk.ask(request.body(()).unwrap())).await.unwrap();
        assert_eq!(response.status(), status, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_that_is_not_one_number_is_refused() {
    let mut talk = talk(&Http2::new(), async |_| Ok(text("fine"))).await;
    for (lengths, status) in [(&["0"][..], 200), (&[""], 400), (&["0", "0"], 400)] {
        let mut request = post("/");
        for length in lengths {
            let length = length.parse().unwrap();
            request.headers_mut().append("content-length", length);
        }
        let response = soon(talk.ask(request)).await.unwrap();
        assert_eq!(response.status(), status, "{lengths:?}");
    }
}
