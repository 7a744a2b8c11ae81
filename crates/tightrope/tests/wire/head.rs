//! Any bytes from a stranger, and what an endpoint must not see of them.

use std::net::SocketAddr;

use tightrope::{
    forwarded::{ForwardedLayer, IdentityHeader, Peer, Trust},
    proxy::Underscores,
};

use super::{names, stack::Wire};

thread_local!(static WIRE: Wire = Wire::new());

/// Sends `input` as a client that nobody trusts. Its first byte chooses what becomes of names with
/// underscores.
pub(crate) fn check(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let underscores = match choice % 3 {
        0 => Underscores::Drop,
        1 => Underscores::Refuse,
        _ => Underscores::Pass,
    };
    let layer = ForwardedLayer::new(Trust::nobody())
        .with_header(IdentityHeader::XRealIp)
        .with_header(IdentityHeader::XForwardedPort);
    let peer = Peer::tcp(SocketAddr::from(([198, 51, 100, 1], 4711))).with_local_port(8080);
    let outcome = WIRE.with(|wire| wire.send(bytes, Some(peer), &layer, underscores));
    for request in outcome.requests {
        for (name, value) in [
            ("x-forwarded-for", "198.51.100.1"),
            ("x-real-ip", "198.51.100.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-port", "8080"),
        ] {
            assert_eq!(request.all(name), [value.as_bytes()], "{name}");
        }
        let host = request.all("x-forwarded-host");
        assert!(
            host.is_empty() || host == request.all("host"),
            "{request:?}"
        );
        let written = [
            "x-forwarded-for",
            "x-real-ip",
            "x-forwarded-proto",
            "x-forwarded-port",
            "x-forwarded-host",
        ];
        for (name, _) in &request.fields {
            let is_forged = names::is_identity(name) && !written.contains(&&**name);
            assert!(!is_forged, "{name} of a stranger in {request:?}");
            let has_underscore = name.contains('_');
            assert!(
                !has_underscore || underscores == Underscores::Pass,
                "{name}"
            );
        }
    }
    let answer = outcome.answer;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 ") || answer.starts_with(b"HTTP/1.0 "),
        "{}",
        answer.escape_ascii()
    );
}
