//! Resolving allocates nothing, and writing nothing but what is written.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use allocation_counter::measure;
use http::{HeaderValue, Request};
use tightrope_forwarded::{Client, ForwardedLayer, IdentityHeader, Peer, Trust};
use tower::{Layer, Service};

/// Gives the request back.
struct Echo;

impl Service<Request<()>> for Echo {
    type Response = Request<()>;
    type Error = Infallible;
    type Future = Ready<Result<Request<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        ready(Ok(request))
    }
}

/// How often something is allocated for a request with these header lines from this peer.
fn allocations(layer: &ForwardedLayer, peer: &str, headers: &[(&str, &'static str)]) -> u64 {
    let mut service = layer.layer(Echo);
    let mut request = Request::get("/");
    for (name, value) in headers {
        // As a server has them, they are slices of one buffer: to copy one allocates nothing.
        request = request.header(*name, HeaderValue::from_static(value));
    }
    let mut request = request.body(()).unwrap();
    // What any server has done: room for some more fields, and the peer, which makes the map of extensions.
    request.headers_mut().reserve(32);
    request
        .extensions_mut()
        .insert(Peer::tcp(peer.parse().unwrap()).with_local_port(443));
    let mut passed = None;
    let counted = measure(|| passed = Some(service.call(request).into_inner()));
    let Ok(passed) = passed.unwrap();
    assert!(
        passed
            .extensions()
            .get::<Client>()
            .unwrap()
            .address()
            .is_some()
    );
    counted.count_total
}

#[test]
fn writing_identity_allocates_the_values_that_are_written_and_the_client() {
    let trust = Trust::networks(["10.0.0.0/8".parse().unwrap()]);
    let none = [
        IdentityHeader::XForwardedProto,
        IdentityHeader::XForwardedHost,
    ];
    let bare = none.into_iter().fold(
        ForwardedLayer::new(trust.clone()),
        ForwardedLayer::without_header,
    );
    let all = ForwardedLayer::new(trust)
        .with_header(IdentityHeader::XForwardedPort)
        .with_header(IdentityHeader::XRealIp);
    let hops = "203.0.113.7, 10.0.0.3, 10.0.0.4";
    let browser = [
        ("host", "a.test"),
        ("user-agent", "x"),
        ("connection", "keep-alive"),
    ];
    let behind = [
        ("host", "a.test"),
        ("x-forwarded-for", hops),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "b.test"),
    ];
    // The client in the extensions is one, and each value that has to be made: of `x-forwarded-proto` and
    // `x-forwarded-host` none.
    const CLIENT: u64 = 1;
    let (stranger, proxy) = ("198.51.100.1:4711", "10.0.0.2:4711");
    for (layer, peer, headers, values) in [
        (&bare, stranger, &browser[..], 1),
        (&bare, proxy, &behind, 1),
        // List, port and address; the proxy does not say the port, so nobody does.
        (&all, stranger, &browser, 3),
        (&all, proxy, &behind, 2),
    ] {
        let counted = allocations(layer, peer, headers);
        assert_eq!(counted, CLIENT + values, "{headers:?}");
    }
    // A list of a hundred hops is as cheap to read as one of three.
    let long = "10.0.0.1, ".repeat(100) + "10.0.0.9";
    let counted = |list: &'static str| {
        let headers = [("host", "a.test"), ("x-forwarded-for", list)];
        allocations(&all, "10.0.0.2:4711", &headers)
    };
    assert_eq!(counted(long.leak()), counted(hops));
}
