//! Headers of the PROXY protocol: written and read, in pieces, and from connections.

mod laws;
#[cfg(feature = "tokio")]
mod receiver;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use proptest::prelude::*;
use tightrope_forwarded::proxy_protocol::{Header, HeaderError, Parsed, Version, parse};
use tightrope_forwarded::{Client, Evidence, ForwardedLayer, Peer, Trust};
use tower::{ServiceBuilder, ServiceExt};

fn v4() -> impl Strategy<Value = SocketAddr> {
    (any::<Ipv4Addr>(), any::<u16>()).prop_map(SocketAddr::from)
}

/// Addresses that do not stand for one of IPv4.
fn v6() -> impl Strategy<Value = SocketAddr> {
    (any::<Ipv6Addr>(), any::<u16>())
        .prop_filter("mapped", |(address, _)| address.to_ipv4_mapped().is_none())
        .prop_map(SocketAddr::from)
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V1), Just(Version::V2)]
}

fn header() -> impl Strategy<Value = Header> {
    let new = |(version, source, destination)| Header::new(version, source, destination);
    prop_oneof![
        3 => (version(), v4(), v4()).prop_map(new),
        3 => (version(), v6(), v6()).prop_map(new),
        2 => (version(), v4(), v6()).prop_map(new),
        1 => version().prop_map(Header::unknown),
        1 => Just(Header::local()),
    ]
}

/// Bytes that look like a header for long enough to get far.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let line =
        "PROXY (TCP4|TCP6|UNKNOWN)?( [0-9a-f.:]{0,15}){0,5} ?\r?\n?".prop_map(String::into_bytes);
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let family = prop_oneof![any::<u8>(), Just(0x11), Just(0x21), Just(0x31)];
    let binary =
        (0x1fu8..0x24, family, 0u16..300, bytes).prop_map(|(command, family, length, rest)| {
            let head = [command, family];
            [
                b"\r\n\r\n\0\r\nQUIT\n".as_slice(),
                &head,
                &length.to_be_bytes(),
                &rest,
            ]
            .concat()
        });
    prop_oneof![line, binary]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_and_in_part_is_incomplete(header in header(), rest in prop::collection::vec(any::<u8>(), 0..20)) {
        let written = header.to_bytes();
        let length = written.len();
        let received = [written, rest].concat();
        prop_assert_eq!(parse(&received), Ok(Parsed::Complete { header, length }));
        laws::check(&received);
    }

    #[test]
    fn addresses_stay_what_they_are(version in version(), source in prop_oneof![v4(), v6()], destination in prop_oneof![v4(), v6()]) {
        let header = Header::new(version, source, destination);
        let canonical = |socket: Option<SocketAddr>| socket.map(|socket| (socket.ip().to_canonical(), socket.port()));
        prop_assert_eq!(canonical(header.source()), canonical(Some(source)));
        prop_assert_eq!(canonical(header.destination()), canonical(Some(destination)));
    }

    #[test]
    fn no_bytes_make_it_panic_or_contradict_itself(noise in prop::collection::vec(any::<u8>(), 0..60), nearly in nearly()) {
        laws::check(&noise);
        laws::check(&nearly);
        laws::check(&[b"PROXY ".as_slice(), &noise].concat());
    }
}

#[test]
fn inputs_found_by_fuzzing_stay_fixed() {
    let folder = "../../fuzz/regressions/forwarded_proxy_protocol";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: there is no folder {}", folder.display());
        return;
    };
    for entry in entries {
        laws::check(&std::fs::read(entry.unwrap().path()).unwrap());
    }
}

#[test]
fn other_protocols_are_told_from_it_by_their_first_bytes() {
    for bytes in [
        b"GET / HTTP/1.1\r\n".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\n",
        b"\r\n\r\n\r\n",
    ] {
        assert_eq!(parse(bytes), Err(HeaderError::Missing));
    }
}

#[tokio::test]
async fn the_layer_goes_by_the_peer_that_the_header_names() {
    let source = "203.0.113.7:56324".parse().unwrap();
    let header = Header::new(Version::V2, source, "192.0.2.1:443".parse().unwrap());
    let peer = Peer::tcp("10.0.0.2:40000".parse().unwrap()).with_proxy_header(&header);
    // The balancer is trusted; its client is not, and has no say.
    let trust = Trust::networks(["10.0.0.0/8".parse().unwrap()]);
    let service = ServiceBuilder::new()
        .layer(ForwardedLayer::new(trust))
        .service_fn(async |request: http::Request<()>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(request))
        });
    let request = http::Request::get("/")
        .header("x-forwarded-for", "6.6.6.6")
        .extension(peer)
        .body(())
        .unwrap();
    let request = service.oneshot(request).await.unwrap().into_body();
    assert_eq!(request.headers()["x-forwarded-for"], "203.0.113.7");
    let client: &Client = request.extensions().get().unwrap();
    assert_eq!(client.address(), Some(source.ip()));
    assert_eq!(client.port(), Some(56324));
    assert_eq!(client.evidence(), Evidence::ProxyProtocol);
    // It can be handed on as it came, if the other end is known.
    assert_eq!(Header::of(Version::V2, client, &peer), header);
    let elsewhere = Peer::tcp(source);
    let unknown = Header::unknown(Version::V1);
    assert_eq!(Header::of(Version::V1, client, &elsewhere), unknown);
}
