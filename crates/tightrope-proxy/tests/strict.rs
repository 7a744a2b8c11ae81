//! What clients send, byte by byte: through `StrictRequests`, hyper's server and `Forward`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;

use http::Request;
use http_body_util::Either;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tightrope_proxy::{Forward, StrictRequests, Tunnelled, check_request, respond};
use tightrope_upstream::Picked;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tower_service::Service;

use crate::{
    reference::strict::{check, passed},
    support::Origin,
};

/// What passes, however it comes in pieces.
async fn scanned(bytes: &[u8]) -> Vec<u8> {
    let whole = passed(bytes, 1 << 16).await;
    for piece in [1, 2, 7] {
        assert_eq!(
            passed(bytes, piece).await,
            whole,
            "{}",
            bytes.escape_ascii()
        );
    }
    whole
}

fn head(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: a.test\r\n{fields}\r\n")
}

fn chunked(body: &str) -> String {
    format!("{}{body}", head("transfer-encoding: chunked\r\n"))
}

#[tokio::test]
async fn requests_that_are_right_pass_as_they_are() {
    for request in [
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        "\r\n\r\nGET /a%00//b?c=[\\]|{}&d=\"^` HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "G!T http://a.test:80/x HTTP/1.1\r\nHost:a.test\r\nx-empty:\r\nx-tab: a\tb \r\n!#$%&'*+-.^_`|~9: \u{e9}\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        head("content-length: 5\r\n") + "he\0\r\n",
        head("Content-Length: \t5 \t\r\n") + "hello" + &head("content-length: 0\r\n"),
        head("content-length: 005\r\n") + "hello",
        chunked("5\r\nhe\nlo\r\n1F;a;b = \"c\\\"\"\r\n0123456789012345678901234567890\r\n0\r\n\r\n"),
        chunked("0;last\r\nx-sum: 1\r\ncontent-length: 7\r\ncontent-length: 8\r\n\r\n") + &head(""),
        head("Transfer-Encoding: \tchUNKed \r\n") + "0\r\n\r\n" + &head(""),
        // For others to refuse.
        head("transfer-encoding: gzip\r\n"),
        head("transfer-encoding: gzip, chunked\r\n"),
        head("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        head("transfer-encoding:\r\n"),
        head("transfer-encoding: chunkedx\r\n"),
        head("transfer-encoding: \u{b5}chunked\r\n"),
        "CONNECT a:22 HTTP/1.1\r\nhost: a:22\r\n\r\n".to_owned(),
    ] {
        let request = request.as_bytes();
        assert_eq!(scanned(request).await, request, "{}", request.escape_ascii());
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_does_not_pass() {
    // What passes, and the byte that does not.
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
        // What would be the body of nobody knows what.
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked, chunked\r\n\r\n",
            "0\r\n\r\n",
        ),
        (
            "CONNECT a:22 HTTP/1.1\r\nhost: a:22\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
        ),
        // The next request is one again.
        ("GET / HTTP/1.1\r\n\r\n", "\nGET / HTTP/1.1\r\n\r\n"),
        ("PUT / HTTP/1.1\r\ncontent-length: 1\r\n\r\na", "\0"),
    ] {
        refuses(passes, refused).await;
    }
}

#[tokio::test]
async fn chunks_that_could_be_read_in_two_ways_do_not_pass() {
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
        ("0\r\n\r\n", "0\r\n\r\n\0"),
    ] {
        // A request may begin with a digit.
        let (passes, refused) = match refused.strip_prefix("0\r\n\r\n\0") {
            Some(_) => (format!("{passes}0"), "\r\n\r\n"),
            None => (passes.to_owned(), refused),
        };
        refuses(&chunked(&passes), refused).await;
    }
}

async fn refuses(passes: &str, refused: &str) {
    let mut expected = passes.as_bytes().to_vec();
    expected.push(0);
    let seen = scanned(format!("{passes}{refused}").as_bytes()).await;
    assert_eq!(
        seen.escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "{refused:?}"
    );
}

#[tokio::test]
async fn responses_are_written_as_they_are() {
    let (mut client, server) = duplex(64);
    let mut strict = StrictRequests::new(server);
    strict.write_all(b"HTTP/1.1 200 \0\n").await.unwrap();
    strict.flush().await.unwrap();
    strict.shutdown().await.unwrap();
    let mut seen = Vec::new();
    client.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen, b"HTTP/1.1 200 \0\n");
}

/// A client of a strict server that forwards to `origin`, and what keeps tunnels open.
fn front(origin: &Origin) -> (DuplexStream, Forward) {
    let (client, server) = duplex(1 << 16);
    let strict = StrictRequests::new(server);
    let tunnelled = strict.tunnelled();
    let forward = Forward::default();
    let kept = forward.clone();
    let upstream = origin.upstream.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let mut forward = forward.clone();
        let upstream = upstream.clone();
        request
            .extensions_mut()
            .insert::<Tunnelled>(tunnelled.clone());
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
    tokio::spawn(async move {
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(strict), service)
            .with_upgrades();
        // How it ended is told to the client.
        let _ended = connection.await;
    });
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
    fn pieces_mean_nothing_and_hyper_finds_the_same_requests(bytes in stream(), piece in 0u8..9) {
        check(&[&[piece], &*bytes].concat());
    }
}
