//! The layer through its public API.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::extract::ConnectInfo;
use http::{Request, Response};
use tightrope_forwarded::{
    Client, ClientHeader, Evidence, Forwarded, ForwardedElement, ForwardedFor, ForwardedLayer,
    IdentityHeader, Peer, Scheme, Strangers, Trust,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

fn trust(networks: &[&str]) -> Trust {
    Trust::networks(networks.iter().map(|network| network.parse().unwrap()))
}

fn peer(address: &str) -> Peer {
    Peer::tcp(address.parse().unwrap())
}

fn request(peer: impl Into<Option<Peer>>, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get("/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(peer) = peer.into() {
        request = request.extension(peer);
    }
    request.body(()).unwrap()
}

/// The request as the service behind the layer gets it.
async fn pass(layer: &ForwardedLayer, request: Request<()>) -> Request<()> {
    let echo = service_fn(async |request: Request<()>| Ok::<_, Infallible>(request));
    layer.layer(echo).oneshot(request).await.unwrap()
}

fn header<'a>(request: &'a Request<()>, name: &str) -> Option<&'a str> {
    let mut lines = request.headers().get_all(name).iter();
    let line = lines.next().map(|line| line.to_str().unwrap());
    assert!(lines.next().is_none(), "{name} has more than one line");
    line
}

fn client(request: &Request<()>) -> &Client {
    request.extensions().get().unwrap()
}

fn address(request: &Request<()>) -> String {
    client(request)
        .address()
        .map_or("none".to_owned(), |address| address.to_string())
}

const STRANGER: &str = "198.51.100.1:40000";
const PROXY: &str = "10.0.0.2:40000";

fn behind_ten() -> ForwardedLayer {
    ForwardedLayer::new(trust(&["10.0.0.0/8"]))
}

#[tokio::test]
async fn a_stranger_is_overwritten_and_everything_else_it_claims_is_removed() {
    let layer = behind_ten()
        .with_header(IdentityHeader::XForwardedPort)
        .with_header(IdentityHeader::XRealIp);
    let claims = [
        ("host", "app.test:8080"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "7.7.7.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6;proto=https"),
        ("x-forwarded-scheme", "https"),
        ("x-forwarded-server", "evil.test"),
        ("x-forwarded-ssl", "on"),
        ("x-forwarded-user", "admin"),
        ("x-original-url", "/admin"),
        ("x-client-ip", "6.6.6.6"),
        ("cf-connecting-ip", "6.6.6.6"),
        ("true-client-ip", "6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x_real-ip", "6.6.6.6"),
        ("x.forwarded.proto", "https"),
        ("user-agent", "mine"),
        ("x-request-id", "1"),
    ];
    let peer = peer(STRANGER).with_local_port(8080);
    let passed = pass(&layer, request(peer, &claims)).await;

    let mut left: Vec<_> = passed
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [
            ("host", "app.test:8080"),
            ("user-agent", "mine"),
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-host", "app.test:8080"),
            ("x-forwarded-port", "8080"),
            ("x-forwarded-proto", "http"),
            ("x-real-ip", "198.51.100.1"),
            ("x-request-id", "1"),
        ]
    );
    let client = client(&passed);
    assert_eq!(client.address(), Some("198.51.100.1".parse().unwrap()));
    assert_eq!(
        (client.port(), client.scheme()),
        (Some(40000), Scheme::Http)
    );
    assert_eq!(
        (client.host(), client.evidence()),
        (Some("app.test:8080"), Evidence::Connection)
    );
}

#[tokio::test]
async fn by_default_nobody_is_trusted() {
    let layer = ForwardedLayer::new(Trust::default());
    for text in ["127.0.0.1:1", "10.0.0.1:1", "[::1]:1"] {
        let passed = pass(
            &layer,
            request(peer(text), &[("x-forwarded-for", "6.6.6.6")]),
        )
        .await;
        assert_eq!(address(&passed), peer(text).address().unwrap().to_string());
        assert_eq!(header(&passed, "x-forwarded-for"), Some(&*address(&passed)));
    }
    let passed = pass(
        &layer,
        request(Peer::unix(), &[("x-forwarded-for", "6.6.6.6")]),
    )
    .await;
    assert_eq!(
        (
            address(&passed).as_str(),
            header(&passed, "x-forwarded-for")
        ),
        ("none", None)
    );
}

#[tokio::test]
async fn headers_that_are_off_are_still_removed_from_strangers() {
    let layer = behind_ten()
        .without_header(IdentityHeader::XForwardedProto)
        .without_header(IdentityHeader::XForwardedHost);
    let claims = [
        ("host", "a"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "b"),
        ("x-real-ip", "6.6.6.6"),
    ];
    let passed = pass(&layer, request(peer(STRANGER), &claims)).await;
    for name in [
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-real-ip",
        "x-forwarded-port",
    ] {
        assert_eq!(header(&passed, name), None, "{name}");
    }
    let passed = pass(&layer, request(peer(PROXY), &claims)).await;
    assert_eq!(header(&passed, "x-forwarded-host"), Some("b"));
    assert_eq!(header(&passed, "x-real-ip"), Some("6.6.6.6"));
}

#[tokio::test]
async fn a_request_of_unknown_origin_loses_every_claim_and_gains_none() {
    let claims = [
        ("host", "a"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
    ];
    let mut request = request(None, &claims);
    let earlier = pass(&behind_ten(), self::request(peer(STRANGER), &[])).await;
    request.extensions_mut().insert(client(&earlier).clone());
    let passed = pass(&behind_ten().with_header(IdentityHeader::XRealIp), request).await;
    assert_eq!(passed.headers().len(), 1);
    assert!(passed.extensions().get::<Client>().is_none());
}

#[tokio::test]
async fn the_walk_ends_at_the_first_address_that_is_not_trusted() {
    for (lines, expected) in [
        (&["203.0.113.7"][..], "203.0.113.7"),
        (&["6.6.6.6, 203.0.113.7, 10.0.0.9"], "203.0.113.7"),
        (
            &["6.6.6.6", "203.0.113.7", "10.0.0.9, 10.0.0.8"],
            "203.0.113.7",
        ),
        (&["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
        (&["203.0.113.7, unknown, 10.0.0.8"], "10.0.0.8"),
        (&["203.0.113.7, unknown"], "10.0.0.2"),
        (&["203.0.113.7,, 10.0.0.8 ,", ""], "203.0.113.7"),
        (&["203.0.113.7:5060, [10.0.0.8]:80"], "10.0.0.2"),
        (&["203.0.113.7:5060, 10.0.0.8:80"], "203.0.113.7"),
        (&["[2001:db8::7%eth0]:443, ::ffff:10.0.0.8"], "2001:db8::7"),
        (&[""], "10.0.0.2"),
        (&[], "10.0.0.2"),
    ] {
        let headers: Vec<_> = lines
            .iter()
            .map(|line| ("x-forwarded-for", *line))
            .collect();
        let passed = pass(&behind_ten(), request(peer(PROXY), &headers)).await;
        assert_eq!(address(&passed), expected, "{lines:?}");
    }
}

#[tokio::test]
async fn the_port_and_the_evidence_go_with_the_address() {
    let passed = pass(
        &behind_ten(),
        request(peer(PROXY), &[("x-forwarded-for", "203.0.113.7:5060")]),
    )
    .await;
    assert_eq!(
        (client(&passed).port(), client(&passed).evidence()),
        (Some(5060), Evidence::XForwardedFor)
    );
    let passed = pass(
        &behind_ten(),
        request(peer(PROXY), &[("x-forwarded-for", "203.0.113.7")]),
    )
    .await;
    assert_eq!(
        (client(&passed).port(), client(&passed).evidence()),
        (None, Evidence::XForwardedFor)
    );
    let passed = pass(
        &behind_ten(),
        request(peer(PROXY), &[("x-forwarded-for", "unknown")]),
    )
    .await;
    assert_eq!(
        (client(&passed).port(), client(&passed).evidence()),
        (Some(40000), Evidence::Connection)
    );
}

#[tokio::test]
async fn only_so_much_of_a_list_is_looked_at() {
    for (hops, expected) in [
        (500, "203.0.113.7"),
        (1023, "203.0.113.7"),
        (1024, "10.0.0.1"),
        (5000, "10.0.0.1"),
    ] {
        let list = format!("203.0.113.7{}", ", 10.0.0.1".repeat(hops));
        let passed = pass(
            &behind_ten(),
            request(peer(PROXY), &[("x-forwarded-for", &list)]),
        )
        .await;
        assert_eq!(address(&passed), expected, "{hops} hops");
        assert_eq!(
            header(&passed, "x-forwarded-for"),
            Some(&*format!("{list}, 10.0.0.2"))
        );
    }
}

#[tokio::test]
async fn a_trusted_list_is_extended_in_one_line_or_replaced() {
    let lines = [
        ("x-forwarded-for", "6.6.6.6,203.0.113.7"),
        ("x-forwarded-for", ""),
        ("x-forwarded-for", "10.0.0.9"),
    ];
    let passed = pass(&behind_ten(), request(peer(PROXY), &lines)).await;
    assert_eq!(
        header(&passed, "x-forwarded-for"),
        Some("6.6.6.6,203.0.113.7, , 10.0.0.9, 10.0.0.2")
    );
    let replaced = behind_ten().with_forwarded_for(ForwardedFor::Replace);
    let passed = pass(&replaced, request(peer(PROXY), &lines)).await;
    assert_eq!(header(&passed, "x-forwarded-for"), Some("203.0.113.7"));
    let passed = pass(&replaced, request(peer(STRANGER), &lines)).await;
    assert_eq!(header(&passed, "x-forwarded-for"), Some("198.51.100.1"));
}

#[tokio::test]
async fn a_trusted_unix_peer_hands_its_list_on() {
    let layer = ForwardedLayer::new(trust(&["10.0.0.0/8"]).with_unix_peers())
        .with_header(IdentityHeader::XRealIp);
    let passed = pass(
        &layer,
        request(
            Peer::unix(),
            &[
                ("x-forwarded-for", "203.0.113.7"),
                ("x-forwarded-for", "10.0.0.9"),
            ],
        ),
    )
    .await;
    assert_eq!(address(&passed), "203.0.113.7");
    assert_eq!(
        header(&passed, "x-forwarded-for"),
        Some("203.0.113.7, 10.0.0.9")
    );
    assert_eq!(header(&passed, "x-real-ip"), Some("203.0.113.7"));

    let passed = pass(&layer, request(Peer::unix(), &[("x-real-ip", "6.6.6.6")])).await;
    assert_eq!(client(&passed).address(), None);
    assert_eq!(
        (
            header(&passed, "x-forwarded-for"),
            header(&passed, "x-real-ip")
        ),
        (None, None)
    );
}

#[tokio::test]
async fn a_trusted_peer_keeps_what_is_valid() {
    let layer = behind_ten()
        .with_header(IdentityHeader::XForwardedPort)
        .with_header(IdentityHeader::XRealIp);
    let peer = peer(PROXY).with_local_port(8080);
    let good = [
        ("host", "inner.test"),
        ("x-forwarded-proto", "http, HTTPS"),
        ("x-forwarded-host", "app.test"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "6.6.6.6"),
        ("forwarded", "for=203.0.113.7"),
        ("x-forwarded-prefix", "/app"),
        ("x_forwarded_for", "6.6.6.6"),
    ];
    let passed = pass(&layer, request(peer, &good)).await;
    assert_eq!(header(&passed, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&passed, "x-forwarded-host"), Some("app.test"));
    assert_eq!(header(&passed, "x-forwarded-port"), Some("443"));
    assert_eq!(
        header(&passed, "x-real-ip"),
        Some("10.0.0.2"),
        "it is always what was resolved"
    );
    assert_eq!(
        header(&passed, "forwarded"),
        None,
        "the peer may have let it through"
    );
    assert_eq!(header(&passed, "x-forwarded-prefix"), Some("/app"));
    assert_eq!(header(&passed, "x_forwarded_for"), None);
    assert_eq!(header(&passed, "host"), Some("inner.test"));
    assert_eq!(
        (client(&passed).scheme(), client(&passed).host()),
        (Scheme::Https, Some("app.test"))
    );

    let bad = [
        ("host", "inner.test"),
        ("x-forwarded-proto", "on"),
        ("x-forwarded-host", "a b"),
        ("x-forwarded-port", "0"),
    ];
    let passed = pass(&layer, request(peer.with_scheme(Scheme::Https), &bad)).await;
    assert_eq!(header(&passed, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&passed, "x-forwarded-host"), Some("inner.test"));
    assert_eq!(header(&passed, "x-forwarded-port"), Some("8080"));
}

#[tokio::test]
async fn our_port_is_not_given_for_that_of_another_listener() {
    let layer = behind_ten().with_header(IdentityHeader::XForwardedPort);
    let peer = peer(PROXY).with_local_port(8080);
    let passed = pass(&layer, request(peer, &[("x-forwarded-proto", "https")])).await;
    assert_eq!(header(&passed, "x-forwarded-port"), None);
    let passed = pass(
        &layer,
        request(self::peer(STRANGER), &[("x-forwarded-port", "443")]),
    )
    .await;
    assert_eq!(
        header(&passed, "x-forwarded-port"),
        None,
        "the port of the listener is not known"
    );
}

#[tokio::test]
async fn the_host_comes_from_the_target_before_the_field() {
    let mut absolute = request(peer(STRANGER), &[("host", "evil.test")]);
    *absolute.uri_mut() = "http://good.test:81/".parse().unwrap();
    let passed = pass(&behind_ten(), absolute).await;
    assert_eq!(header(&passed, "x-forwarded-host"), Some("good.test:81"));
    assert_eq!(client(&passed).host(), Some("good.test:81"));
    for headers in [
        &[][..],
        &[("host", "a"), ("host", "b")],
        &[("host", "a\"b")],
    ] {
        let forged = [headers, &[("x-forwarded-host", "evil.test")]].concat();
        let passed = pass(&behind_ten(), request(peer(STRANGER), &forged)).await;
        assert_eq!(
            (header(&passed, "x-forwarded-host"), client(&passed).host()),
            (None, None),
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn a_mapped_peer_is_written_as_ipv4() {
    let passed = pass(
        &behind_ten(),
        request(
            peer("[::ffff:10.0.0.2]:1"),
            &[("x-forwarded-for", "203.0.113.7")],
        ),
    )
    .await;
    assert_eq!(
        header(&passed, "x-forwarded-for"),
        Some("203.0.113.7, 10.0.0.2")
    );
    let passed = pass(&behind_ten(), request(peer("[fe80::1%3]:1"), &[])).await;
    assert_eq!(header(&passed, "x-forwarded-for"), Some("fe80::1"));
}

fn all_lines<'a>(request: &'a Request<()>, name: &str) -> Vec<&'a str> {
    let lines = request.headers().get_all(name).iter();
    lines.map(|line| line.to_str().unwrap()).collect()
}

#[tokio::test]
async fn counting_hops_takes_the_nth_entry_from_the_right_or_the_peer() {
    for (count, list, expected, hops) in [
        (1, "203.0.113.7, 192.0.2.1", "192.0.2.1", 1),
        (2, "203.0.113.7, 192.0.2.1", "203.0.113.7", 2),
        (2, "6.6.6.6, 203.0.113.7, garbage", "203.0.113.7", 2),
        (3, "203.0.113.7, 192.0.2.1", "198.51.100.1", 0),
        (2, "garbage, 192.0.2.1", "198.51.100.1", 0),
        (usize::MAX, "203.0.113.7", "198.51.100.1", 0),
        (0, "203.0.113.7", "198.51.100.1", 0),
    ] {
        let layer = ForwardedLayer::new(Trust::hops(count));
        let sent = [("x-forwarded-for", list)];
        let passed = pass(&layer, request(peer(STRANGER), &sent)).await;
        assert_eq!(address(&passed), expected, "{count}: {list}");
        assert_eq!(client(&passed).hops(), hops, "{count}: {list}");
    }
}

#[tokio::test]
async fn the_nearest_entry_is_the_client_though_it_is_trusted() {
    let layer = ForwardedLayer::new(Trust::nearest(["10.0.0.0/8".parse().unwrap()]));
    let sent = [("x-forwarded-for", "203.0.113.7, 10.0.0.9")];
    let passed = pass(&layer, request(peer(PROXY), &sent)).await;
    assert_eq!(address(&passed), "10.0.0.9");
    let passed = pass(&layer, request(peer(STRANGER), &sent)).await;
    assert_eq!(address(&passed), "198.51.100.1");
}

#[tokio::test]
async fn a_list_is_extended_as_asked_for() {
    let sent = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "")];
    for (mode, some, none) in [
        (
            ForwardedFor::Append,
            &["203.0.113.7, , 10.0.0.2"][..],
            &["10.0.0.2"][..],
        ),
        (
            ForwardedFor::AppendLine,
            &["203.0.113.7", "", "10.0.0.2"],
            &["10.0.0.2"],
        ),
        (ForwardedFor::IfNone, &["203.0.113.7", ""], &["10.0.0.2"]),
        (ForwardedFor::Keep, &["203.0.113.7", ""], &[]),
        (ForwardedFor::Replace, &["203.0.113.7"], &["10.0.0.2"]),
    ] {
        let layer = behind_ten().with_forwarded_for(mode);
        let passed = pass(&layer, request(peer(PROXY), &sent)).await;
        assert_eq!(all_lines(&passed, "x-forwarded-for"), some, "{mode:?}");
        let passed = pass(&layer, request(peer(PROXY), &[])).await;
        assert_eq!(all_lines(&passed, "x-forwarded-for"), none, "{mode:?}");
        let passed = pass(&layer, request(peer(STRANGER), &sent)).await;
        let overwritten = ["198.51.100.1"];
        assert_eq!(
            all_lines(&passed, "x-forwarded-for"),
            overwritten,
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn strangers_may_be_passed_on_and_are_still_not_believed() {
    let layer = behind_ten().with_strangers(Strangers::PassOn);
    let sent = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "6.6.6.6"),
        ("x_real_ip", "6.6.6.6"),
    ];
    let passed = pass(&layer, request(peer(STRANGER), &sent)).await;
    assert_eq!(address(&passed), "198.51.100.1");
    let list = header(&passed, "x-forwarded-for");
    assert_eq!(list, Some("6.6.6.6, 198.51.100.1"));
    assert_eq!(header(&passed, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&passed, "x-real-ip"), Some("6.6.6.6"));
    assert_eq!(header(&passed, "x_real_ip"), None);
}

#[tokio::test]
async fn a_header_of_any_name_may_name_the_client_and_is_then_guarded() {
    let named = ClientHeader::Named("x-edge_client".parse().unwrap());
    let layer = behind_ten().with_client_header(named);
    let sent = [
        ("x-edge_client", "203.0.113.7"),
        ("x-edge-client", "6.6.6.6"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
    ];
    let passed = pass(&layer, request(peer(PROXY), &sent)).await;
    assert_eq!(address(&passed), "203.0.113.7");
    assert_eq!(client(&passed).evidence(), Evidence::Named);
    assert_eq!(client(&passed).scheme(), Scheme::Https);
    assert_eq!(header(&passed, "x-edge_client"), Some("203.0.113.7"));
    assert_eq!(header(&passed, "x-edge-client"), None);

    let strangers = pass(&layer, request(peer(STRANGER), &sent)).await;
    let unknown = pass(&layer, request(None, &sent)).await;
    for passed in [strangers, unknown] {
        assert_eq!(header(&passed, "x-edge_client"), None);
        assert_eq!(header(&passed, "x-edge-client"), None);
    }
}

#[tokio::test]
async fn forwarded_is_walked_with_the_scheme_and_host_of_the_element_that_counts() {
    let layer = behind_ten().with_client_header(ClientHeader::Forwarded);
    for (lines, expected, port, scheme, host, hops) in [
        (
            &[
                "for=6.6.6.6, for=\"203.0.113.7:80\";proto=https;host=a.test, for=10.0.0.9;proto=http",
            ][..],
            "203.0.113.7",
            Some(80),
            Scheme::Https,
            Some("a.test"),
            2,
        ),
        (
            &["for=\"[2001:db8::7]\"", ",, for=10.0.0.9 ,"],
            "2001:db8::7",
            None,
            Scheme::Http,
            Some("own.test"),
            2,
        ),
        // Hidden, but what the nearest proxy says of it counts.
        (
            &["for=6.6.6.6, for=_hidden;proto=https;host=\"b.test:80\""],
            "10.0.0.2",
            Some(40000),
            Scheme::Https,
            Some("b.test:80"),
            0,
        ),
        // Not to be read, so nothing of it counts.
        (
            &["for=6.6.6.6;proto=https, for=10.0.0.9 proto=https"],
            "10.0.0.2",
            Some(40000),
            Scheme::Http,
            Some("own.test"),
            0,
        ),
        // A quote that never ends takes nothing with it of what stands to its right.
        (
            &["for=\", for=\"[2001:db8::7]\";proto=https"],
            "2001:db8::7",
            None,
            Scheme::Https,
            Some("own.test"),
            1,
        ),
    ] {
        let mut sent = vec![("host", "own.test"), ("x-forwarded-for", "6.6.6.6")];
        sent.extend(lines.iter().map(|line| ("forwarded", *line)));
        let passed = pass(&layer, request(peer(PROXY), &sent)).await;
        let client = client(&passed);
        assert_eq!(address(&passed), expected, "{lines:?}");
        assert_eq!(
            (client.port(), client.scheme()),
            (port, scheme),
            "{lines:?}"
        );
        assert_eq!((client.host(), client.hops()), (host, hops), "{lines:?}");
        let evidence = if hops == 0 {
            Evidence::Connection
        } else {
            Evidence::Forwarded
        };
        assert_eq!(client.evidence(), evidence, "{lines:?}");
        // The other header is written from what was found.
        assert_eq!(
            header(&passed, "x-forwarded-for"),
            Some(expected),
            "{lines:?}"
        );
        let host = client.host();
        assert_eq!(header(&passed, "x-forwarded-host"), host, "{lines:?}");
        assert_eq!(all_lines(&passed, "forwarded"), *lines, "passed on");
    }
}

#[tokio::test]
async fn forwarded_is_written_if_asked_for() {
    let all = ForwardedElement::new()
        .with_proto()
        .with_host()
        .with_by("_edge")
        .unwrap();
    let sent = [
        ("host", "own.test"),
        ("forwarded", "for=203.0.113.7;proto=https"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    let layer = behind_ten().with_forwarded(all);
    // It is not what is believed, so it is about the client alone.
    let passed = pass(&layer, request(peer(PROXY), &sent)).await;
    let alone = "for=192.0.2.1;by=_edge;host=own.test;proto=http";
    assert_eq!(header(&passed, "forwarded"), Some(alone));

    let layer = layer.with_client_header(ClientHeader::Forwarded);
    let passed = pass(&layer, request(peer(PROXY), &sent)).await;
    let appended = "for=203.0.113.7;proto=https, for=10.0.0.2;by=_edge;host=own.test;proto=http";
    assert_eq!(header(&passed, "forwarded"), Some(appended));
    let passed = pass(&layer, request(peer(STRANGER), &sent)).await;
    let overwritten = "for=198.51.100.1;by=_edge;host=own.test;proto=http";
    assert_eq!(header(&passed, "forwarded"), Some(overwritten));
    let passed = pass(&layer, request(Peer::unix(), &sent)).await;
    let nobody = "for=unknown;by=_edge;host=own.test;proto=http";
    assert_eq!(header(&passed, "forwarded"), Some(nobody));

    let layer = layer.with_forwarded_for(ForwardedFor::Replace);
    let passed = pass(&layer, request(peer(PROXY), &sent)).await;
    let replaced = "for=203.0.113.7;by=_edge;host=own.test;proto=https";
    assert_eq!(header(&passed, "forwarded"), Some(replaced));
}

#[tokio::test]
async fn readiness_and_errors_are_those_of_the_service_inside() {
    #[derive(Clone, Debug)]
    struct Inner {
        ready: bool,
    }
    impl Service<Request<()>> for Inner {
        type Response = ();
        type Error = &'static str;
        type Future = std::future::Ready<Result<(), &'static str>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            if self.ready {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        }
        fn call(&mut self, _: Request<()>) -> Self::Future {
            std::future::ready(Err("inner"))
        }
    }
    let mut service: Forwarded<Inner> = behind_ten().layer(Inner { ready: false });
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(service.poll_ready(&mut cx).is_pending());
    service.get_mut().ready = true;
    assert!(service.get_ref().ready);
    assert!(service.poll_ready(&mut cx).is_ready());
    // The future is the inner one: it needs no polling of ours.
    assert_eq!(service.call(request(None, &[])).into_inner(), Err("inner"));
    assert!(service.clone().into_inner().ready);
}

#[tokio::test]
async fn axum_gives_the_peer_of_a_real_connection() {
    fn with_peer(mut request: axum::extract::Request) -> axum::extract::Request {
        if let Some(ConnectInfo(address)) = request
            .extensions()
            .get::<ConnectInfo<SocketAddr>>()
            .copied()
        {
            request.extensions_mut().insert(Peer::tcp(address));
        }
        request
    }
    async fn who(request: axum::extract::Request) -> Response<String> {
        let client = request
            .extensions()
            .get::<Client>()
            .and_then(Client::address);
        Response::new(format!(
            "{client:?} {:?}",
            request.headers().get("x-forwarded-for")
        ))
    }
    let stack = ServiceBuilder::new()
        .map_request(with_peer)
        .layer(ForwardedLayer::new(Trust::nobody()));
    let app = axum::Router::new()
        .route("/", axum::routing::get(who))
        .layer(stack);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, app).await.unwrap();
    });
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(
        response.ends_with(r#"Some(127.0.0.1) Some("127.0.0.1")"#),
        "{response}"
    );
    server.abort();
}

#[tokio::test]
async fn connection_cannot_name_what_is_written() {
    let layer = ForwardedLayer::new(Trust::nobody())
        .with_forwarded_for_name("client-of".parse().unwrap())
        .with_header(IdentityHeader::XEnvoyExternalAddress);
    for (connection, left) in [
        (
            "close, Client-Of, X-Envoy-External-Address, x_forwarded_proto",
            Some("close"),
        ),
        ("CLIENT_OF", None),
        ("x-other, upgrade", Some("x-other, upgrade")),
        ("close,,client-of, x-other ,", Some("close, , x-other, ")),
    ] {
        let sent = request(peer(STRANGER), &[("connection", connection)]);
        let passed = pass(&layer, sent).await;
        assert_eq!(header(&passed, "connection"), left, "{connection}");
        assert_eq!(header(&passed, "client-of"), Some("198.51.100.1"));
    }
}
