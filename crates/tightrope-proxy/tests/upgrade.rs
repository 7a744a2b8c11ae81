//! Tunnels, through a real server.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use crate::support::{Origin, Peer};
use http::{Request, Response};
use http_body_util::Either;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tightrope_proxy::{Forward, ForwardBody, ForwardConfig, Protocol, Upgrades, respond};
use tightrope_upstream::{Picked, Upstream};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tower_service::Service;

pub(crate) const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: x\r\n\r\n";
pub(crate) const GRANT: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\n\
                     sec-websocket-accept: y\r\n\r\n";

/// A proxy in front of `upstream` that serves one connection.
pub(crate) async fn front(forward: Forward, upstream: Upstream) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|request: Request<Incoming>| {
            let picked = Picked::new(request, crate::support::pick(&upstream));
            let response = forward.clone().call(picked);
            async move {
                let response: Response<Either<ForwardBody, respond::Text>> = match response.await {
                    Ok(response) => response.map(Either::Left),
                    Err(error) => respond::response(&error).map(Either::Right),
                };
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let _ended = connection.with_upgrades().await;
    });
    address
}

struct Tunnel {
    /// The server lets go of its clone at the switch, and the last one owns the tunnels.
    forward: Forward,
    origin: Origin,
    client: Peer,
    endpoint: Peer,
    /// What the endpoint and the client saw.
    heads: (String, String),
}

/// A client that asks with `ask` and an endpoint that answers with `answer`.
async fn open(forward: Forward, ask: &str, answer: &str) -> Tunnel {
    let origin = Origin::new().await;
    let address = front(forward.clone(), origin.upstream.clone()).await;
    let mut client = Peer::new(TcpStream::connect(address).await.unwrap());
    client.send(ask).await;
    let mut endpoint = origin.accept().await;
    let asked = endpoint.head().await;
    endpoint.send(answer).await;
    let answered = client.head().await;
    Tunnel {
        forward,
        origin,
        client,
        endpoint,
        heads: (asked, answered),
    }
}

#[tokio::test]
async fn a_tunnel_has_a_connection_of_http_1_1_where_requests_go_out_over_http_2() {
    for protocol in [Protocol::Http2, Protocol::Negotiated] {
        let forward = Forward::new(ForwardConfig::new().with_protocol(protocol));
        let mut tunnel = open(forward, ASK, GRANT).await;
        assert!(tunnel.heads.0.starts_with("get /chat http/1.1"));
        tunnel.client.send("ping").await;
        assert_eq!(tunnel.endpoint.until("ping").await, "ping");
        // It counts as long as it lasts.
        let endpoint = Arc::clone(&tunnel.origin.upstream.snapshot().members()[0]);
        let counts = tunnel.forward.connections(&endpoint);
        assert_eq!((counts.open, counts.http2), (1, 0));
        drop((tunnel.client, tunnel.endpoint));
        while tunnel.forward.connections(&endpoint).open > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_tunnel_carries_both_ways() {
    let mut tunnel = open(Forward::default(), ASK, GRANT).await;
    let (asked, answered) = &tunnel.heads;
    assert!(asked.contains("\r\nconnection: upgrade\r\n"), "{asked}");
    assert!(asked.contains("\r\nupgrade: websocket\r\n"), "{asked}");
    assert!(asked.contains("\r\nsec-websocket-key: x\r\n"), "{asked}");
    assert!(answered.starts_with("http/1.1 101 "), "{answered}");
    assert!(
        answered.contains("\r\nconnection: upgrade\r\n"),
        "{answered}"
    );
    assert!(
        answered.contains("\r\nupgrade: websocket\r\n"),
        "{answered}"
    );
    assert!(
        answered.contains("\r\nsec-websocket-accept: y\r\n"),
        "{answered}"
    );
    for text in ["ping-1", "ping-2"] {
        tunnel.client.send(text).await;
        assert_eq!(tunnel.endpoint.until(text).await, text);
        tunnel.endpoint.send(text).await;
        assert_eq!(tunnel.client.until(text).await, text);
    }
    assert_eq!(tunnel.origin.record().in_flight(), 1);
    drop(tunnel.client);
    assert_eq!(tunnel.endpoint.rest().await, "");
    assert_eq!(tunnel.origin.record().in_flight(), 1);
    drop(tunnel.endpoint);
    while tunnel.origin.record().in_flight() > 0 {
        tunnel.origin.settle().await;
    }
    assert_eq!(tunnel.origin.record().totals().succeeded, 1);
}

#[tokio::test]
async fn bytes_that_come_early_are_delivered() {
    let (ask, answer) = (
        format!("{ASK}from the client"),
        format!("{GRANT}from the endpoint"),
    );
    let mut tunnel = open(Forward::default(), &ask, &answer).await;
    assert_eq!(tunnel.client.until("endpoint").await, "from the endpoint");
    assert_eq!(tunnel.endpoint.until("client").await, "from the client");
}

#[tokio::test]
async fn each_direction_closes_on_its_own() {
    let mut tunnel = open(Forward::default(), ASK, GRANT).await;
    tunnel.client.send("last words").await;
    tunnel.client.stream.shutdown().await.unwrap();
    assert_eq!(tunnel.endpoint.rest().await, "last words");
    tunnel.endpoint.send("heard").await;
    assert_eq!(tunnel.client.until("heard").await, "heard");
    drop(tunnel.endpoint);
    assert_eq!(tunnel.client.rest().await, "");
}

#[tokio::test]
async fn a_reset_on_one_side_ends_the_other() {
    let mut tunnel = open(Forward::default(), ASK, GRANT).await;
    tunnel.endpoint.reset();
    assert_eq!(tunnel.client.rest().await, "");
    while tunnel.origin.record().in_flight() > 0 {
        tunnel.origin.settle().await;
    }
}

#[tokio::test]
async fn dropping_the_last_service_ends_its_tunnels() {
    let mut tunnel = open(Forward::default(), ASK, GRANT).await;
    tunnel.client.send("ping").await;
    tunnel.endpoint.until("ping").await;
    drop(tunnel.forward);
    assert_eq!(tunnel.client.rest().await, "");
    assert_eq!(tunnel.endpoint.rest().await, "");
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_response() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain";
    let ask = format!("{ASK}GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut tunnel = open(Forward::default(), &ask, ok).await;
    assert!(
        tunnel.heads.1.starts_with("http/1.1 200 "),
        "{}",
        tunnel.heads.1
    );
    assert_eq!(tunnel.client.until("plain").await, "plain");
    // What follows is a request of its own, not bytes of a tunnel.
    let next = tunnel.endpoint.head().await;
    assert!(next.starts_with("get /next http/1.1\r\n"), "{next}");
    assert!(next.contains("\r\nvia: 1.1 tightrope\r\n"), "{next}");
}

#[tokio::test]
async fn only_what_is_allowed_is_passed_on() {
    let ok = "HTTP/1.1 204 No Content\r\n\r\n";
    let many = ASK.replace("upgrade: websocket", "upgrade: websocket, h2c");
    let tunnel = open(Forward::default(), &many, ok).await;
    assert!(
        tunnel.heads.0.contains("\r\nupgrade: websocket\r\n"),
        "{}",
        tunnel.heads.0
    );
    assert!(!tunnel.heads.0.contains("h2c"), "{}", tunnel.heads.0);

    let none = Forward::new(ForwardConfig::new().with_upgrades(Upgrades::None));
    let body = ASK
        .replace("sec-websocket-key: x", "content-length: 2")
        .replace("GET", "POST")
        + "hi";
    for (forward, ask) in [
        (Forward::default(), ASK.replace("websocket", "foo")),
        (
            Forward::default(),
            ASK.replace("connection: Upgrade\r\n", ""),
        ),
        (Forward::default(), ASK.replace("HTTP/1.1", "HTTP/1.0")),
        (Forward::default(), body),
        (none, ASK.to_owned()),
    ] {
        let tunnel = open(forward, &ask, ok).await;
        let head = &tunnel.heads.0;
        assert!(
            !head.contains("\r\nupgrade:") && !head.contains("\r\nconnection:"),
            "{head}"
        );
        assert!(tunnel.heads.1.contains(" 204 "), "{}", tunnel.heads.1);
    }
}

#[tokio::test]
async fn a_switch_to_another_protocol_is_refused() {
    for granted in ["h2c", "websocket, h2c", "websocket\r\nupgrade: h2c"] {
        let grant = GRANT.replace("WebSocket", granted);
        let mut tunnel = open(Forward::default(), ASK, &grant).await;
        assert!(
            tunnel.heads.1.starts_with("http/1.1 502 "),
            "{}",
            tunnel.heads.1
        );
        assert_eq!(tunnel.endpoint.rest().await, "");
        assert_eq!(tunnel.origin.record().totals().failed, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn no_timeout_of_a_response_applies_to_a_tunnel() {
    let second = Duration::from_secs(1);
    let config = ForwardConfig::new()
        .with_head_timeout(second)
        .with_body_idle_timeout(second)
        .with_request_body_idle_timeout(second);
    let mut tunnel = open(Forward::new(config), ASK, GRANT).await;
    tokio::time::sleep(3600 * second).await;
    tunnel.client.send("still").await;
    assert_eq!(tunnel.endpoint.until("still").await, "still");
}

#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_ends_where_that_was_asked_for() {
    let second = Duration::from_secs(1);
    let forward = Forward::new(ForwardConfig::new().with_tunnel_idle_timeout(10 * second));
    let mut tunnel = open(forward, ASK, GRANT).await;
    for _ in 0..5 {
        tokio::time::sleep(8 * second).await;
        tunnel.endpoint.send("alive").await;
        tunnel.client.until("alive").await;
    }
    let start = tokio::time::Instant::now();
    assert_eq!(tunnel.client.rest().await, "");
    assert!(
        (10..=21).contains(&start.elapsed().as_secs()),
        "{:?}",
        start.elapsed()
    );
}
