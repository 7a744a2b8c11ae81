//! The layer against the reference, over generated requests; and clients that lie to proxies of ours.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::net::SocketAddr;

use http::{HeaderValue, Request};
use proptest::prelude::*;
use tightrope_forwarded::{
    Client, ClientHeader, ForwardedElement, ForwardedFor, ForwardedLayer, Peer, Strangers, Trust,
};
use tower::{Layer, ServiceExt, service_fn};

use crate::generate::{forwarded, input, list};

/// A request with these lines of `name`, through proxies with these addresses one behind the other, each of which
/// appends; the last one is our own. What the last one resolves.
async fn through_proxies(
    read: &ClientHeader,
    (name, lines): (&'static str, &[Vec<u8>]),
    peers: &[SocketAddr],
    mode: ForwardedFor,
    trust: &Trust,
) -> Client {
    let mut request = Request::new(());
    for line in lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            request.headers_mut().append(name, value);
        }
    }
    // The proxies in front append to whatever they get, as most do.
    let mut layer = ForwardedLayer::new(Trust::nobody())
        .with_client_header(read.clone())
        .with_strangers(Strangers::PassOn)
        .with_forwarded_for(mode);
    if *read == ClientHeader::Forwarded {
        layer = layer.with_forwarded(ForwardedElement::new().with_proto().with_host());
    }
    let echo = service_fn(async |request: Request<()>| Ok::<_, Infallible>(request));
    let (last, others) = peers.split_last().unwrap();
    for peer in others {
        request.extensions_mut().insert(Peer::tcp(*peer));
        request = layer.clone().layer(echo).oneshot(request).await.unwrap();
    }
    request.extensions_mut().insert(Peer::tcp(*last));
    let ours = ForwardedLayer::new(trust.clone()).with_client_header(read.clone());
    let passed = ours.layer(echo).oneshot(request).await.unwrap();
    passed.extensions().get::<Client>().unwrap().clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_layer_does_what_the_reference_does_and_strangers_have_no_say(input in input()) {
        crate::reference::check(input.as_bytes());
    }

    #[test]
    fn no_bytes_make_it_panic(input in prop::collection::vec(any::<u8>(), 0..200), value in prop::collection::vec(any::<u8>(), 0..60)) {
        crate::reference::check(&input);
        crate::reference::check(&[b"tcp 10.0.0.2:1\n10.0.0.0/8\n\n/\nX-Forwarded-For: ".as_slice(), &value].concat());
    }

    #[test]
    fn no_client_can_hide_behind_proxies_of_ours_or_take_another_address(
        lines in prop::collection::vec(
            prop_oneof![
                forwarded().prop_map(String::into_bytes),
                list().prop_map(String::into_bytes),
                "[for=1.;,\" \\\\]{0,16}".prop_map(String::into_bytes),
                prop::collection::vec(0x20u8..=0x7e, 0..16),
                prop::collection::vec(0x80u8..=0xff, 0..4),
            ],
            0..4,
        ),
        client in "(203\\.0\\.113\\.[1-9]|\\[2001:db8::[1-9]\\]):[1-9][0-9]{3}",
        proxies in 1u8..4,
        mode in prop_oneof![Just(ForwardedFor::Append), Just(ForwardedFor::AppendLine)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let client: SocketAddr = client.parse().unwrap();
        let mut peers = vec![client];
        peers.extend((0..proxies).map(|number| SocketAddr::from(([10, 0, 0, number], 40000))));
        let networks = Trust::networks(["10.0.0.0/8".parse().unwrap()]);
        for trust in [networks, Trust::hops(proxies.into())] {
            for (read, name) in [
                (ClientHeader::XForwardedFor, "x-forwarded-for"),
                (ClientHeader::Forwarded, "forwarded"),
            ] {
                let passing = through_proxies(&read, (name, &lines), &peers, mode, &trust);
                let found = runtime.block_on(passing);
                prop_assert_eq!(found.address(), Some(client.ip()), "{} {:?}", name, mode);
                prop_assert_eq!(found.hops(), usize::from(proxies));
            }
        }
    }
}
