//! What clients send, byte by byte: what `server::Http1` reads of it, and what reaches an endpoint.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;

use http::Request;
use http_body_util::Either;
use proptest::prelude::*;
use tightrope_proxy::{
    Forward, check_request, respond,
    server::{Http1, RequestBody},
};
use tightrope_upstream::Picked;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tower_service::Service;

use crate::{
    reference::server::{Seen, check, ours},
    support::Origin,
};

/// What is seen of `bytes`, however they come in pieces.
async fn seen(bytes: &str) -> Seen {
    let whole = ours(bytes.as_bytes(), 1 << 16).await;
    for piece in [1, 2, 7] {
        let pieces = ours(bytes.as_bytes(), piece).await;
        assert_eq!(pieces.requests, whole.requests, "{bytes:?}");
        assert_eq!(
            statuses(&pieces.answers),
            statuses(&whole.answers),
            "{bytes:?}"
        );
    }
    whole
}

fn statuses(answers: &str) -> Vec<&str> {
    let lines = answers.lines();
    lines
        .filter_map(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3))
        .collect()
}

fn head(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n")
}

fn chunked(body: &str) -> String {
    format!("{}{body}", head("transfer-encoding: chunked\r\n"))
}

#[tokio::test]
async fn requests_that_are_right_are_read() {
    for request in [
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "\r\n\r\nGET /a%00//b?c=[\\]|{}&d=^` HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "G!T http://a.test:80/x HTTP/1.1\r\nHost:a.test\r\nx-empty:\r\nx-tab: a\tb \r\n!#$%&'*+-.^_`|~9: \u{e9}\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        head("content-length: 5\r\n") + "he\0\r\n",
        head("Content-Length: \t5 \t\r\n") + "hello" + &head("content-length: 0\r\n"),
        head("content-length: 005\r\n") + "hello",
        chunked("5\r\nhe\nlo\r\n1F;a;b = \"c\\\"\"\r\n0123456789012345678901234567890\r\n0\r\n\r\n"),
        chunked("0;last\r\nx-sum: 1\r\ncontent-length: 7\r\ncontent-length: 8\r\n\r\n") + &head(""),
        head("Transfer-Encoding: \tchUNKed \r\n") + "0\r\n\r\n" + &head(""),
    ] {
        let seen = seen(&request).await;
        let count = request.matches("host: a.test").count().max(1);
        assert_eq!(seen.requests.len(), count, "{request:?}: {seen:?}");
        assert_eq!(statuses(&seen.answers), vec!["200"; count], "{request:?}");
    }
}

#[tokio::test]
async fn what_ends_nobody_knows_where_is_the_last() {
    for (request, status) in [
        // For others to refuse.
        (head("transfer-encoding: gzip\r\n"), ""),
        (head("transfer-encoding: gzip, chunked\r\n"), ""),
        (head("transfer-encoding: chunked, chunked\r\n"), ""),
        (
            head("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
            "",
        ),
        (head("transfer-encoding:\r\n"), ""),
        (head("transfer-encoding: chunkedx\r\n"), ""),
        (head("transfer-encoding: \u{b5}chunked\r\n"), ""),
        ("CONNECT a:22 HTTP/1.1\r\nhost: a:22\r\n\r\n".to_owned(), ""),
    ] {
        let seen = seen(&format!("{request}0\r\n\r\nGET / HTTP/1.1\r\n\r\n")).await;
        // Their bodies cannot be read, at which this service gives up.
        assert!(seen.requests.is_empty(), "{request:?}: {seen:?}");
        assert_eq!(seen.answers, status, "{request:?}");
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    // What is right, and what is wrong after it.
    for (passes, refused) in [
        // Line ends.
        ("GET / HTTP/1.1\r\nhost: a", "\nx: 1\r\n\r\n"),
        ("GET / HTTP/1.1", "\nhost: a\r\n\r\n"),
        ("GET / HTTP/1.1\r\nhost: a\r\n", "\n"),
        ("GET / HTTP/1.1\r\nhost: a\r", "x: 1\r\n\r\n"),
        ("GET / HTTP/1.1\r\nx: a\r", "\r\n\r\n"),
        ("GET / HTTP/1.1\r\nhost: a\r\n\r", "GET /"),
        ("", "\nGET / HTTP/1.1\r\n\r\n"),
        ("\r", "GET / HTTP/1.1\r\n\r\n"),
        // The request line.
        ("", " GET / HTTP/1.1\r\n\r\n"),
        ("G", "(T / HTTP/1.1\r\n\r\n"),
        ("GET", "\t/ HTTP/1.1\r\n\r\n"),
        ("GET ", " / HTTP/1.1\r\n\r\n"),
        ("GET / ", " HTTP/1.1\r\n\r\n"),
        ("GET /a ", "b HTTP/1.1\r\n\r\n"),
        ("GET /", "\r\n\r\n"),
        ("GET / HTTP/1.", "2\r\n\r\n"),
        ("GET / HTTP/", "01.1\r\n\r\n"),
        ("GET / ", "http/1.1\r\n\r\n"),
        ("GET / HTTP/1.1", " \r\n\r\n"),
        ("PRI * HTTP/", "2.0\r\n\r\nSM\r\n\r\n"),
        // The target.
        ("GET /a", "#b HTTP/1.1\r\n\r\n"),
        ("GET /a?b", "#c HTTP/1.1\r\n\r\n"),
        ("GET /a", "\\..\\b HTTP/1.1\r\n\r\n"),
        ("GET /", "\u{e9} HTTP/1.1\r\n\r\n"),
        ("GET /", "\0 HTTP/1.1\r\n\r\n"),
        ("GET /", "\x7f HTTP/1.1\r\n\r\n"),
        // Fields.
        ("GET / HTTP/1.1\r\n", " x: 1\r\n\r\n"),
        ("GET / HTTP/1.1\r\nx: 1\r\n", "\tx: 1\r\n\r\n"),
        ("GET / HTTP/1.1\r\nhost", " : a\r\n\r\n"),
        ("GET / HTTP/1.1\r\nhost", "\t: a\r\n\r\n"),
        ("GET / HTTP/1.1\r\nx", "\r\n\r\n"),
        ("GET / HTTP/1.1\r\n", ": 1\r\n\r\n"),
        ("GET / HTTP/1.1\r\nx", "\0y: 1\r\n\r\n"),
        ("GET / HTTP/1.1\r\nx", "(y: 1\r\n\r\n"),
        ("GET / HTTP/1.1\r\n", "\u{e9}: 1\r\n\r\n"),
        ("GET / HTTP/1.1\r\nx: 1", "\0\r\n\r\n"),
        ("GET / HTTP/1.1\r\nx: 1", "\x1b\r\n\r\n"),
        ("GET / HTTP/1.1\r\nx: 1", "\x7f\r\n\r\n"),
        // Lengths and codings.
        (
            "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r",
            "\n0\r\n\r\n",
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\ncontent-length: 0\r\n\r",
            "\n",
        ),
        (
            "POST / HTTP/1.1\r\nCONTENT-length: 5\r\ncontent-LENGTH",
            ": 5\r\n\r\nhello",
        ),
        ("POST / HTTP/1.1\r\ncontent-length: ", "+5\r\n\r\nhello"),
        ("POST / HTTP/1.1\r\ncontent-length: ", "-5\r\n\r\nhello"),
        ("POST / HTTP/1.1\r\ncontent-length: 0", "x5\r\n\r\nhello"),
        ("POST / HTTP/1.1\r\ncontent-length: 5", ", 5\r\n\r\nhello"),
        ("POST / HTTP/1.1\r\ncontent-length: 5 ", "5\r\n\r\nhello"),
        ("POST / HTTP/1.1\r\ncontent-length: 5", ".0\r\n\r\nhello"),
        ("POST / HTTP/1.1\r\ncontent-length: ", "\r\n\r\n"),
        (
            "POST / HTTP/1.1\r\ncontent-length: 922337203685477580",
            "8\r\n\r\n",
        ),
        ("POST / HTTP/1.1\r\ncontent-length: ", "\u{665}\r\n\r\n"),
        (
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r",
            "\n0\r\n\r\n",
        ),
        // The next request is one again.
        ("GET / HTTP/1.1\r\n\r\n", "\nGET / HTTP/1.1\r\n\r\n"),
        ("PUT / HTTP/1.1\r\ncontent-length: 1\r\n\r\na", "\0"),
    ] {
        refuses(passes, refused).await;
    }
}

#[tokio::test]
async fn chunks_that_could_be_read_in_two_ways_are_refused() {
    for (passes, refused) in [
        ("", "+5\r\nhello\r\n0\r\n\r\n"),
        ("", "-5\r\nhello\r\n0\r\n\r\n"),
        ("", " 5\r\nhello\r\n0\r\n\r\n"),
        ("0", "x5\r\nhello\r\n0\r\n\r\n"),
        ("5 ", "\r\nhello\r\n0\r\n\r\n"),
        ("5", "\nhello\r\n0\r\n\r\n"),
        ("5\r", "hello\r\n0\r\n\r\n"),
        ("", "\r\nhello\r\n0\r\n\r\n"),
        ("0000000000000000", "5\r\nhello\r\n0\r\n\r\n"),
        ("1000000000000000", "5\r\nhello\r\n0\r\n\r\n"),
        ("fffffffffffffff", "f\r\nhello\r\n0\r\n\r\n"),
        ("5;", "\r\nhello\r\n0\r\n\r\n"),
        ("5;a", "\nhello\r\n0\r\n\r\n"),
        ("5;a", "\0\r\nhello\r\n0\r\n\r\n"),
        ("5;a=\"", "\r\nhello\r\n0\r\n\r\n"),
        ("5;a\r", "b\r\nhello\r\n0\r\n\r\n"),
        ("2;", "\nxx\r\n4c\r\n0\r\n\r\n"),
        ("5\r\nhello", "\n0\r\n\r\n"),
        ("5\r\nhello", "0\r\n\r\n"),
        ("5\r\nhello", "o\r\n0\r\n\r\n"),
        ("5\r\nhello\r", "0\r\n\r\n"),
        ("5\r\nhello\r\n0", "\n\n"),
        ("0\r\n", "\n"),
        ("0\r\nx: 1", "\ny: 2\r\n\r\n"),
        ("0\r\nx: 1\r\n", " 2\r\n\r\n"),
        ("0\r\nx: 1", "\0\r\n\r\n"),
        ("0\r\nx", "\r\n\r\n"),
        ("0\r\nx", " : 1\r\n\r\n"),
        ("0\r\nx: 1\r\n", "\n"),
    ] {
        let seen = seen(&chunked(&format!("{passes}{refused}"))).await;
        assert!(seen.requests.is_empty(), "{refused:?}: {seen:?}");
    }
    let after = chunked("0\r\n\r\n") + "0\r\n\r\n";
    let seen = seen(&after).await;
    assert_eq!(statuses(&seen.answers), ["200", "400"]);
}

async fn refuses(passes: &str, refused: &str) {
    let bytes = format!("{passes}{refused}");
    let seen = seen(&bytes).await;
    // Whole requests before it are answered.
    let good = match passes.ends_with("\r\n\r\n") || passes.ends_with("\r\n\r\na") {
        true => 1,
        false => 0,
    };
    assert_eq!(seen.requests.len(), good, "{bytes:?}: {seen:?}");
    let mut expected = vec!["200"; good];
    expected.push("400");
    assert_eq!(statuses(&seen.answers), expected, "{bytes:?}");
}

/// A client of a server that forwards to `origin`, and what keeps tunnels open.
fn front(origin: &Origin) -> (DuplexStream, Forward) {
    let (client, server) = duplex(1 << 16);
    let forward = Forward::default();
    let kept = forward.clone();
    let upstream = origin.upstream.clone();
    let service = tower::service_fn(move |request: Request<RequestBody>| {
        let mut forward = forward.clone();
        let upstream = upstream.clone();
        async move {
            if let Err(error) = check_request(&request) {
                return Ok::<_, Infallible>(respond::refusal(&error).map(Either::Left));
            }
            let picked = Picked::new(request, crate::support::pick(&upstream));
            Ok(match forward.call(picked).await {
                Ok(response) => response.map(Either::Right),
                Err(error) => respond::response(&error).map(Either::Left),
            })
        }
    });
    // How it ended is told to the client.
    tokio::spawn(async move { Http1::new().serve(server, service).await.is_ok() });
    (client, kept)
}

/// The answer to `bytes`, until the connection ends.
async fn answer(client: &mut DuplexStream, bytes: &[u8]) -> String {
    client.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_nothing_reaches_the_endpoint() {
    let origin = Origin::new().await;
    for (request, status) in [
        (
            head("content-length: 5\r\ntransfer-encoding: chunked\r\n") + "0\r\n\r\n",
            400,
        ),
        (
            head("content-length: 5\r\ncontent-length: 5\r\n") + "hello",
            400,
        ),
        ("GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nhost: a\nx: 1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n".to_owned(), 400),
        (
            head("transfer-encoding: gzip, chunked\r\n") + "0\r\n\r\n" + &head(""),
            501,
        ),
        (
            head("transfer-encoding: chunked\r\n") + "5;\0\r\nhello\r\n0\r\n\r\n",
            400,
        ),
    ] {
        let (mut client, _forward) = front(&origin);
        let answer = tokio::select! {
            biased;
            answer = answer(&mut client, request.as_bytes()) => answer,
            mut peer = origin.accept() => {
                // Something of a request whose body is wrong may have gone out; its end never does.
                let (answer, rest) = tokio::join!(answer(&mut client, b""), peer.rest());
                assert!(!rest.contains("0\r\n\r\n"), "{rest}");
                answer
            }
        };
        let begin = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&begin), "{request:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn a_good_request_before_a_bad_one_is_answered() {
    let origin = Origin::new().await;
    let (mut client, forward) = front(&origin);
    let both = head("content-length: 5\r\n") + "hello" + &head("content-length: 1, 1\r\n");
    let (answer, mut peer) = tokio::join!(answer(&mut client, both.as_bytes()), async {
        let mut peer = origin.accept().await;
        peer.until("hello").await;
        peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        peer
    });
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(answer.contains("HTTP/1.1 400"), "{answer}");
    drop(forward);
    assert_eq!(peer.rest().await, "");
}

#[tokio::test]
async fn a_tunnel_carries_what_is_no_http() {
    let origin = Origin::new().await;
    let (mut client, _forward) = front(&origin);
    let ask = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(ask.as_bytes()).await.unwrap();
    let mut peer = origin.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    let mut answer = vec![0; 4096];
    let read = client.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 101"));
    client.write_all(b"\n\0\x01 \r\r end").await.unwrap();
    assert_eq!(peer.until("end").await, "\n\0\x01 \r\r end");
    peer.send("\0\nback").await;
    let read = client.read(&mut answer).await.unwrap();
    assert_eq!(&answer[..read], b"\0\nback");
}

#[tokio::test]
async fn a_refused_upgrade_leaves_the_connection_strict() {
    let origin = Origin::new().await;
    let (mut client, _forward) = front(&origin);
    let ask = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(ask.as_bytes()).await.unwrap();
    let mut peer = origin.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"ok") {
        client.read_buf(&mut seen).await.unwrap();
    }
    let second = answer(&mut client, b"GET / HTTP/1.1\nhost: a\n\n").await;
    assert!(second.starts_with("HTTP/1.1 400"), "{second}");
}

/// Bytes that a scanner has to look at.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => prop::sample::select(b"\r\n\r\n :;=\"\\\t,#?".as_slice()),
        3 => prop::sample::select(b"0123456789abcdefchunkedlength-".as_slice()),
        1 => any::<u8>(),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        3 => Just(b"POST / HTTP/1.1\r\nhost: a\r\n".to_vec()),
        2 => Just(b"content-length: 3\r\n".to_vec()),
        2 => Just(b"transfer-encoding: chunked\r\n".to_vec()),
        3 => Just(b"\r\n".to_vec()),
        2 => Just(b"3\r\nabc\r\n0\r\n\r\n".to_vec()),
        2 => Just(b"abc".to_vec()),
        2 => prop::collection::vec(byte(), 0..4),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn pieces_mean_nothing_and_hyper_finds_these_requests_too(bytes in stream(), piece in 0u8..9) {
        check(&[&[piece], &*bytes].concat());
    }
}
