//! What reaches the endpoint, and what comes back.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use crate::support::{Origin, Peer, data, frames, get, post, text};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use tightrope_proxy::{Forward, ForwardConfig, HostPolicy, Pseudonym, Underscores};
use tightrope_upstream::{Attempt, Failed, Failure};

/// The head that the endpoint sees of `request`.
async fn head_of(config: ForwardConfig, request: Request<Empty<Bytes>>) -> String {
    let origin = Origin::new().await;
    let forward = Forward::new(config);
    let (response, head) = tokio::join!(origin.call(&forward, request), async {
        let mut peer = origin.accept().await;
        let head = peer.head().await;
        peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        head
    });
    assert_eq!(response.unwrap().status(), 204);
    head
}

/// The response to a GET that the endpoint answers with `raw` and then closes.
async fn answer(
    raw: &str,
) -> Result<http::Response<tightrope_proxy::ForwardBody>, tightrope_proxy::ForwardError> {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let (response, ()) = tokio::join!(origin.call(&forward, get("/")), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send(raw).await;
    });
    response
}

#[tokio::test]
async fn a_request_leaves_with_the_head_of_this_proxy() {
    let request = Request::get("/a%2Fb/../c?d=e&f")
        .header("host", "Shop.test:8080")
        .header("connection", "close, x-secret")
        .header("x-secret", "1")
        .header("x-kept", "1")
        .header("x-kept", "2")
        .header("via", "1.0 fred")
        .header("expect", "100-continue")
        .body(Empty::new())
        .unwrap();
    assert_eq!(
        head_of(ForwardConfig::new(), request).await,
        "get /a%2fb/../c?d=e&f http/1.1\r\nhost: shop.test:8080\r\nvia: 1.0 fred\r\nvia: 1.1 tightrope\r\n\
         x-kept: 1\r\nx-kept: 2\r\n\r\n",
    );
}

#[tokio::test]
async fn the_host_of_an_absolute_target_replaces_the_field() {
    let request = Request::get("http://good.test/p?q")
        .header("host", "evil.test")
        .body(Empty::new())
        .unwrap();
    let head = head_of(ForwardConfig::new(), request).await;
    assert!(
        head.starts_with("get /p?q http/1.1\r\nhost: good.test\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_client_without_a_host_gets_one() {
    let mut request = Request::new(Empty::new());
    *request.version_mut() = Version::HTTP_10;
    let head = head_of(ForwardConfig::new().with_via(None), request).await;
    assert!(
        head.starts_with("get / http/1.1\r\nhost: 127.0.0.1:"),
        "{head}"
    );
    assert_eq!(head.lines().count(), 3);
}

#[tokio::test]
async fn the_host_and_the_name_in_via_can_be_set() {
    let fixed = HostPolicy::Fixed(HeaderValue::from_static("inner.test"));
    let via = Pseudonym::new("edge-1").unwrap();
    let config = ForwardConfig::new().with_host(fixed).with_via(Some(via));
    let head = head_of(config, get("/")).await;
    assert!(head.contains("\r\nhost: inner.test\r\n"), "{head}");
    assert!(head.contains("\r\nvia: 1.1 edge-1\r\n"), "{head}");

    let config = ForwardConfig::new().with_host(HostPolicy::Endpoint);
    let head = head_of(config, get("/")).await;
    assert!(head.contains("\r\nhost: 127.0.0.1:"), "{head}");
    assert!(Pseudonym::new("a b").is_err());
    assert!(Pseudonym::new("").is_err());
}

#[tokio::test]
async fn cookies_split_by_http_2_are_joined_for_http_1() {
    let request = Request::get("http://a.test/")
        .version(Version::HTTP_2)
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("cookie", "c=3")
        .body(Empty::new())
        .unwrap();
    let head = head_of(ForwardConfig::new(), request).await;
    assert!(head.contains("\r\ncookie: a=1; b=2; c=3\r\n"), "{head}");
    assert!(head.contains("\r\nhost: a.test\r\n"), "{head}");
    assert!(head.contains("\r\nvia: 2 tightrope\r\n"), "{head}");
}

#[tokio::test]
async fn max_forwards_counts_down() {
    let request = Request::options("*")
        .header("host", "a")
        .header("max-forwards", "3")
        .body(Empty::new())
        .unwrap();
    let head = head_of(ForwardConfig::new(), request).await;
    assert!(head.starts_with("options * http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nmax-forwards: 2\r\n"), "{head}");
}

#[tokio::test]
async fn the_body_says_how_long_it_is_whatever_the_fields_say() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let mut request = post("/", "hello");
    let fields = request.headers_mut();
    fields.insert("content-length", "50".parse().unwrap());
    fields.insert("transfer-encoding", "chunked".parse().unwrap());
    let (response, ()) = tokio::join!(origin.call(&forward, request), async {
        let mut peer = origin.accept().await;
        let head = peer.head().await;
        assert!(head.contains("\r\ncontent-length: 5\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
        assert_eq!(peer.until("hello").await, "hello");
        peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    assert_eq!(response.unwrap().status(), 204);
}

#[tokio::test]
async fn an_empty_post_keeps_its_length() {
    let mut request = get("/");
    *request.method_mut() = http::Method::POST;
    request
        .headers_mut()
        .insert("content-length", "0".parse().unwrap());
    let head = head_of(ForwardConfig::new(), request).await;
    assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
}

#[tokio::test]
async fn a_get_with_a_body_of_unknown_length_keeps_it() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let (sender, body) = frames();
    let request = Request::get("/").header("host", "a").body(body).unwrap();
    let (response, (), ()) = tokio::join!(
        origin.call(&forward, request),
        async {
            sender.send(data("hello")).await.unwrap();
            drop(sender);
        },
        async {
            let mut peer = origin.accept().await;
            assert!(
                peer.head()
                    .await
                    .contains("\r\ntransfer-encoding: chunked\r\n")
            );
            assert_eq!(peer.until("0\r\n\r\n").await, "5\r\nhello\r\n0\r\n\r\n");
            peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    );
    assert_eq!(response.unwrap().status(), 204);
}

#[tokio::test]
async fn a_request_is_streamed_with_its_trailers() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let (sender, body) = frames();
    let request = Request::post("/")
        .header("host", "a")
        .header("trailer", "x-sum, host")
        .body(body)
        .unwrap();
    let (response, ()) = tokio::join!(origin.call(&forward, request), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        // Each frame arrives before the next one is there.
        sender.send(data("one")).await.unwrap();
        assert_eq!(peer.until("3\r\none\r\n").await, "3\r\none\r\n");
        sender.send(data("two")).await.unwrap();
        assert_eq!(peer.until("3\r\ntwo\r\n").await, "3\r\ntwo\r\n");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        trailers.insert("host", "evil".parse().unwrap());
        sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
        assert_eq!(peer.until("\r\n\r\n").await, "0\r\nx-sum: 42\r\n\r\n");
        peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    assert_eq!(response.unwrap().status(), 204);
}

#[tokio::test]
async fn a_response_is_streamed_with_its_trailers() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let (response, mut peer) = tokio::join!(origin.call(&forward, get("/")), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        peer
    });
    let response = response.unwrap();
    assert!(!response.headers().contains_key("transfer-encoding"));
    assert_eq!(response.headers()["trailer"], "x-sum");
    let mut body = response.into_body();
    for part in ["one", "two"] {
        peer.send(&format!("3\r\n{part}\r\n")).await;
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    peer.send("0\r\nx-sum: 42\r\nconnection: x\r\n\r\n").await;
    let trailers = body
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_trailers()
        .unwrap();
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-sum"], "42");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_response_arrives_with_the_head_of_this_proxy() {
    let response = answer(
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nconnection: close, x-secret\r\n\
         x-secret: 1\r\nkeep-alive: timeout=5\r\nupgrade: h2c\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
         content-length: 2, 2\r\n\r\nok",
    )
    .await
    .unwrap();
    let mut names: Vec<_> = response
        .headers()
        .keys()
        .map(http::HeaderName::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "set-cookie"]);
    assert_eq!(response.headers()["content-length"], "2");
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(response.body().size_hint().exact(), Some(2));
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn the_version_of_the_endpoint_is_not_passed_on() {
    let response = answer("HTTP/1.0 200 OK\r\n\r\nto the end").await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    assert_eq!(text(response).await, "to the end");
}

#[tokio::test]
async fn responses_without_a_body_have_none() {
    let response = answer("HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(response.headers()["content-length"], "1234");
    assert!(response.body().is_end_stream());
    let response = answer("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    assert!(!response.headers().contains_key("content-length"));
    assert!(response.body().is_end_stream());

    let origin = Origin::new().await;
    let forward = Forward::default();
    let mut request = get("/");
    *request.method_mut() = http::Method::HEAD;
    let (response, _peer) = tokio::join!(origin.call(&forward, request), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n")
            .await;
        peer
    });
    let response = response.unwrap();
    assert_eq!(response.headers()["content-length"], "60");
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn a_response_that_could_be_read_in_two_ways_is_refused() {
    for raw in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a : b\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9\r\n\r\n",
    ] {
        let error = answer(raw).await.unwrap_err();
        assert_eq!(error.failure(), Failure::Protocol, "{raw:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_endless_response_head_is_refused() {
    let field = format!("x-a: {}\r\n", "a".repeat(1000));
    let head = format!("HTTP/1.1 200 OK\r\n{}", field.repeat(600));
    let origin = Origin::new().await;
    let forward = Forward::default();
    let call = tokio::spawn(origin.call(&forward, get("/")));
    let mut peer = origin.accept().await;
    peer.head().await;
    let sent = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, head.as_bytes());
    let (error, _reset) = tokio::join!(call, sent);
    assert_eq!(error.unwrap().unwrap_err().failure(), Failure::Protocol);
}

#[tokio::test]
async fn interim_responses_are_passed_over_and_not_for_ever() {
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let response = answer(&format!("{}{last}", interim.repeat(32))).await;
    let response = response.unwrap();
    assert!(!response.headers().contains_key("link"));
    assert_eq!(text(response).await, "ok");
    let error = answer(&format!("{}{last}", interim.repeat(33))).await;
    assert_eq!(error.unwrap_err().failure(), Failure::Protocol);
}

#[tokio::test]
async fn a_response_in_pieces_is_the_same_response() {
    let raw = "HTTP/1.1 200 Fine\r\nx-a: 1\r\nx-a: 2\r\ntransfer-encoding: chunked\r\n\r\n\
        3\r\nabc\r\n2;x\r\nde\r\n0\r\nx-sum: 5\r\n\r\n";
    let origin = Origin::new().await;
    let (response, ()) = tokio::join!(
        async {
            let response = origin.call(&Forward::default(), get("/")).await.unwrap();
            let values: Vec<_> = response.headers().get_all("x-a").iter().cloned().collect();
            let body = response.into_body().collect().await.unwrap();
            let trailers = body.trailers().cloned().unwrap();
            (values, body.to_bytes(), trailers)
        },
        async {
            let mut peer = origin.accept().await;
            peer.head().await;
            for byte in raw.chars() {
                peer.send(&byte.to_string()).await;
                tokio::task::yield_now().await;
            }
        }
    );
    let (values, body, trailers) = response;
    assert_eq!(values, ["1", "2"]);
    assert_eq!(body, "abcde");
    assert_eq!(trailers["x-sum"], "5");
}

#[tokio::test]
async fn what_is_no_response_is_a_failure_of_the_protocol() {
    for raw in [
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
    ] {
        let error = answer(raw).await.unwrap_err();
        assert_eq!(error.failure(), Failure::Protocol, "{raw:?}");
    }
}

#[tokio::test]
async fn an_answer_to_an_upload_that_is_not_taken_is_still_read() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let (sender, body) = frames();
    let request = Request::post("/").header("host", "a").body(body).unwrap();
    let (response, ()) = tokio::join!(origin.call(&forward, request), async {
        let mut peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno")
            .await;
        drop(peer);
        while sender.send(data("more")).await.is_ok() {}
    });
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(text(response).await, "no");
}

#[tokio::test]
async fn a_body_that_ends_early_ends_in_an_error() {
    let chunked = "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (rest, failure) in [
        ("content-length: 100\r\n\r\nshort", Failure::Reset),
        (chunked, Failure::Reset),
        (&format!("{chunked}0\r\n"), Failure::Reset),
        (&format!("{chunked}ZZ\r\n"), Failure::Protocol),
    ] {
        let raw = format!("HTTP/1.1 200 OK\r\n{rest}");
        let response = answer(&raw).await.unwrap();
        let error = response.into_body().collect().await.unwrap_err();
        assert_eq!(error.failure(), failure, "{raw:?}");
    }
}

#[tokio::test]
async fn what_must_not_be_forwarded_is_refused_before_connecting() {
    let upstream = Origin::refusing().await;
    let mut forward = Forward::default();
    for request in [
        Request::get("/").body(Empty::<Bytes>::new()).unwrap(),
        Request::connect("a:22")
            .header("host", "a:22")
            .body(Empty::new())
            .unwrap(),
    ] {
        let picked = tightrope_upstream::Picked::new(request, crate::support::pick(&upstream));
        let error = tower_service::Service::call(&mut forward, picked)
            .await
            .unwrap_err();
        assert_eq!(error.failure(), Failure::Downstream);
    }
}

#[tokio::test]
async fn names_with_underscores_are_dropped_refused_or_passed_on() {
    let request = || {
        let request = Request::get("/")
            .header("host", "a.test")
            .header("x_user", "1")
            .header("content_length", "5")
            .header("X_Forwarded_For", "127.0.0.1");
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let head = head_of(ForwardConfig::new(), request()).await;
    assert!(!head.contains('_'), "{head}");
    let pass = ForwardConfig::new().with_underscores(Underscores::Pass);
    let head = head_of(pass, request()).await;
    assert!(head.contains("\r\nx_user: 1\r\n"), "{head}");
    assert_eq!(head.matches('_').count(), 1, "{head}");

    let refuse = ForwardConfig::new().with_underscores(Underscores::Refuse);
    let upstream = Origin::refusing().await;
    let picked = tightrope_upstream::Picked::new(request(), crate::support::pick(&upstream));
    let error = tower_service::Service::call(&mut Forward::new(refuse), picked).await;
    let error = error.unwrap_err();
    assert_eq!(error.failure(), Failure::Downstream);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "a header field has an underscore in its name");
}

#[tokio::test]
async fn an_early_response_does_not_end_the_upload() {
    let origin = Origin::new().await;
    let forward = Forward::default();
    let (sender, body) = frames();
    let request = Request::post("/").header("host", "a").body(body).unwrap();
    let (response, mut peer) = tokio::join!(origin.call(&forward, request), async {
        let mut peer: Peer = origin.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
            .await;
        peer
    });
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(response).await, "big");
    // It is still in flight, and the connection is not used for anything else.
    assert_eq!(origin.record().in_flight(), 1);
    let _second = origin.warm(&forward).await;
    sender.send(data("more")).await.unwrap();
    drop(sender);
    assert_eq!(peer.until("0\r\n\r\n").await, "4\r\nmore\r\n0\r\n\r\n");
    while origin.record().in_flight() > 0 {
        origin.settle().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn an_endpoint_can_be_a_unix_socket() {
    use tightrope_upstream::{Address, Change, EndpointSpec, Picked, Upstream};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let path = std::env::temp_dir().join(format!("tightrope-proxy-{}.sock", std::process::id()));
    let _stale = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let upstream = Upstream::new("test");
    let spec = EndpointSpec::new(Address::unix(&path).unwrap());
    upstream.apply(Change::new().add(spec)).unwrap();
    let mut forward = Forward::new(ForwardConfig::new().with_host(HostPolicy::Endpoint));
    let picked = Picked::new(get("/"), crate::support::pick(&upstream));
    let (response, head) =
        tokio::join!(tower_service::Service::call(&mut forward, picked), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
            String::from_utf8(head[..length].to_vec()).unwrap()
        });
    std::fs::remove_file(&path).unwrap();
    assert!(head.contains("host: localhost\r\n"), "{head}");
    assert_eq!(text(response.unwrap()).await, "ok");
}

#[tokio::test]
async fn a_head_comes_back_to_who_follows_its_attempt_however_that_ended() {
    for answer in [
        "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let origin = Origin::new().await;
        let (attempt, destination) = Attempt::first().followed();
        let request = Request::get("/x")
            .header("host", "a.test")
            .header("via", "1.1 first")
            .header("x-kept", "1")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .extension(attempt)
            .extension("kept");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let (_, ()) = tokio::join!(origin.call(&Forward::default(), request), async {
            let mut peer = origin.accept().await;
            peer.head().await;
            peer.send(answer).await;
        });
        let head = destination.take_returned::<http::request::Parts>().unwrap();
        assert_eq!((head.uri.path(), head.version), ("/x", Version::HTTP_11));
        let fields = head.headers.iter().map(|(name, _)| name.as_str());
        let fields: BTreeSet<_> = fields.collect();
        assert_eq!(fields, BTreeSet::from(["host", "via", "x-kept"]));
        assert_eq!(head.headers["via"], "1.1 first");
        assert_eq!(head.extensions.get(), Some(&"kept"));
    }
}
