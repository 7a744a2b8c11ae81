//! Clients that a balancer of TCP connections names.

use std::net::SocketAddr;

use tightrope_test::Origin;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::program::{Program, file, soon};

const REQUEST: &[u8] = b"GET /echo HTTP/1.1\r\nhost: app.test\r\nx-forwarded-for: 6.6.6.6\r\nconnection: close\r\n\r\n";
const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n";
/// The same, from 203.0.113.8, and a TLV.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\xcb\x00\x71\x08\xc0\x00\x02\x01\xdc\x04\x01\xbb\x04\x00\x00";
/// The balancer itself.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// The proxy over `origin`, with PROXY headers from `senders` within `limit`.
async fn proxy(origin: &Origin, senders: &str, limit: &str) -> Program {
    proxy_to(origin.address(), senders, limit, "").await
}

/// The proxy over `endpoint`, whose upstream has these settings.
async fn proxy_to(endpoint: SocketAddr, senders: &str, limit: &str, settings: &str) -> Program {
    let (_folder, path) = file(&format!(
        "access_log = \"off\"
         [timeouts]\nproxy_protocol = \"{limit}\"
         [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"\nproxy_protocol = [\"{senders}\"]
         [[upstream]]\nname = \"app\"\n{settings}
         [[upstream.endpoint]]\naddress = \"{endpoint}\"\n"
    ));
    Program::start(["--config".as_ref(), path.as_os_str()], false).await
}

/// What comes back on a connection over which `parts` go, each in a packet of its own if the
/// system wants it so.
async fn exchange(proxy: SocketAddr, parts: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for part in parts {
        // It may be closed by now.
        let _closed = stream.write_all(part).await;
    }
    let mut answer = Vec::new();
    // Closed with bytes unread, it is reset.
    let _reset = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).to_lowercase()
}

#[tokio::test]
async fn the_endpoint_is_told_of_the_client_that_the_header_names() {
    let origin = Origin::start("app").await;
    let proxy = proxy(&origin, "127.0.0.1/32", "60s").await;
    for (header, client, port) in [
        (LINE, "203.0.113.7", 443),
        (BINARY, "203.0.113.8", 443),
        (LOCAL, "127.0.0.1", proxy.proxy().port()),
    ] {
        for parts in [&[&[header, REQUEST].concat()[..]][..], &[header, REQUEST]] {
            let answer = exchange(proxy.proxy(), parts).await;
            for line in [
                format!("x-forwarded-for: {client}"),
                format!("x-real-ip: {client}"),
                format!("x-forwarded-port: {port}"),
            ] {
                assert!(
                    answer.lines().any(|found| found == line),
                    "{line} in {answer}"
                );
            }
            assert!(!answer.contains("6.6.6.6"), "{answer}");
        }
    }
    let bytes: Vec<&[u8]> = LINE.chunks(1).chain([REQUEST]).collect();
    let answer = exchange(proxy.proxy(), &bytes).await;
    assert!(answer.contains("x-forwarded-for: 203.0.113.7"), "{answer}");
}

#[tokio::test]
async fn who_must_send_a_header_and_does_not_is_closed() {
    let origin = Origin::start("app").await;
    let mut patient = proxy(&origin, "127.0.0.0/8", "60s").await;
    for (sent, words) in [
        (REQUEST, "there is no header of the PROXY protocol"),
        (
            b"PROXY TCP4 203.0.113.7 192.0.2.1 1 02\r\n",
            "`02` is not a destination port",
        ),
    ] {
        assert_eq!(exchange(patient.proxy(), &[sent]).await, "");
        patient.says(words).await;
    }
    let mut strict = proxy(&origin, "127.0.0.0/8", "100ms").await;
    for sent in [&LINE[..20], &BINARY[..20], b""] {
        assert_eq!(exchange(strict.proxy(), &[sent]).await, "");
        strict.says("no PROXY header within 100ms").await;
    }
    assert_eq!(origin.requests(), 0);
    let answer = exchange(patient.proxy(), &[LINE, REQUEST]).await;
    assert!(answer.contains("200 ok"), "{answer}");
}

#[tokio::test]
async fn nobody_else_can_send_one() {
    let origin = Origin::start("app").await;
    let proxy = proxy(&origin, "192.0.2.0/24", "60s").await;
    for header in [LINE, BINARY, LOCAL] {
        let answer = exchange(proxy.proxy(), &[&[header, REQUEST].concat()]).await;
        assert!(
            answer.is_empty() || answer.contains("400 bad request"),
            "{answer}"
        );
    }
    assert_eq!(origin.requests(), 0);
    let answer = exchange(proxy.proxy(), &[REQUEST]).await;
    assert!(answer.contains("x-forwarded-for: 127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn an_endpoint_gets_the_header_that_was_sent_in_either_version() {
    // The endpoint is another proxy, which must be told by the same protocol.
    let origin = Origin::start("app").await;
    let inner = proxy(&origin, "127.0.0.1/32", "60s").await;
    for version in ["v1", "v2"] {
        let settings = format!("send_proxy_protocol = \"{version}\"");
        let outer = proxy_to(inner.proxy(), "127.0.0.1/32", "60s", &settings).await;
        for (header, client) in [(LINE, "203.0.113.7"), (BINARY, "203.0.113.8")] {
            let answer = exchange(outer.proxy(), &[header, REQUEST]).await;
            let line = format!("x-forwarded-for: {client}");
            assert!(answer.lines().any(|found| found == line), "{answer}");
            assert!(answer.contains("x-forwarded-port: 443"), "{answer}");
        }
    }
}
