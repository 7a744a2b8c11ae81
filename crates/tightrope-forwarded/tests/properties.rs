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

/// Few enough addresses that trusted and untrusted ones meet often.
fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (0u8..4, 0u8..4).prop_map(|(a, b)| format!("10.{a}.0.{b}")),
        2 => (0u8..4).prop_map(|a| format!("203.0.113.{a}")),
        2 => (0u16..4).prop_map(|a| format!("2001:db8:{a}::7")),
        1 => (0u8..4).prop_map(|a| format!("::ffff:10.0.0.{a}")),
        1 => Just("fe80::1".to_owned()),
    ]
}

fn socket() -> impl Strategy<Value = String> {
    (address(), any::<u16>()).prop_map(|(address, port)| match address.contains(':') {
        true => format!("[{address}]:{port}"),
        false => format!("{address}:{port}"),
    })
}

fn element() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => address(),
        2 => socket(),
        1 => address().prop_map(|address| format!("[{address}]")),
        1 => address().prop_map(|address| format!("{address}%eth0")),
        1 => Just(String::new()),
        1 => Just("unknown".to_owned()),
        1 => "[ -~]{0,12}",
        1 => "[0-9a-f:.%\\[\\]]{0,20}",
    ]
}

fn list() -> impl Strategy<Value = String> {
    let separator = prop_oneof![Just(", "), Just(","), Just(" ,\t")];
    (prop::collection::vec(element(), 0..6), separator)
        .prop_map(|(elements, separator)| elements.join(separator))
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-z]{1,5}(\\.test)?(:[0-9]{0,6})?",
        1 => address().prop_map(|address| format!("[{address}]:8080")),
        1 => "[ -~]{0,12}",
    ]
}

/// Elements of `Forwarded`, sound and not.
fn forwarded() -> impl Strategy<Value = String> {
    let node = prop_oneof![
        6 => address().prop_map(|address| match address.contains(':') {
            true => format!("\"[{address}]\""),
            false => address,
        }),
        3 => socket().prop_map(|socket| format!("\"{socket}\"")),
        1 => address().prop_map(|address| format!("\"{address}:_p\"")),
        1 => address(),
        1 => "unknown|_hidden|\"_hidden\"|\"1\\\\0.0.0.1\"|\"\"|\"",
        1 => "[ -~]{0,8}",
    ];
    let other = prop_oneof![
        "(;|; |;;)(proto=(http|HTTPS|ftp|\"wss\")|host=(a\\.test|\"b\\.test:80\"|\"[::1]\")|by=_x|x=\"a,\\\\\"b\")",
        Just(String::new()),
        "[;=\",\\\\a]{0,6}",
    ];
    let element = prop_oneof![
        6 => (node, other.clone(), other).prop_map(|(node, a, b)| format!("for={node}{a}{b}")),
        1 => Just(String::new()),
        1 => "(proto=https|for)",
        1 => "[for=1;,\" \\\\]{0,12}",
    ];
    prop::collection::vec(element, 0..4).prop_map(|elements| elements.join(", "))
}

fn header() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => list().prop_map(|list| format!("X-Forwarded-For: {list}")),
        2 => host().prop_map(|host| format!("Host: {host}")),
        2 => host().prop_map(|host| format!("X-Forwarded-Host: {host}")),
        2 => "X-Forwarded-Proto: (http|HTTPS|wss|ftp|https, http|)",
        2 => "X-Forwarded-Port: [0-9]{0,6}",
        2 => address().prop_map(|address| format!("X-Real-IP: {address}")),
        6 => forwarded().prop_map(|elements| format!("Forwarded: {elements}")),
        1 => list().prop_map(|list| format!("Client-Of: {list}")),
        1 => list().prop_map(|list| format!("CLIENT_OF: {list}")),
        1 => "X-Envoy-External-Address: 6\\.6\\.6\\.6",
        2 => "(x[-_.]forwarded[-_.](for|proto|user)|x[-_]real[-_]ip|x_original_url|Client_IP): 6\\.6\\.6\\.6",
        1 => "(CF-Connecting-IP|True-Client-IP|X-Scheme|X-Original-URL|X-Forwarded-Prefix): [ -~]{0,8}",
        1 => "(Via|Cookie|X-Request-Id|X_Custom|Connection): [ -~]{0,8}",
    ]
}

fn input() -> impl Strategy<Value = String> {
    let peer = prop_oneof![
        8 => (socket(), "( https)?( 8443)?").prop_map(|(socket, rest)| format!("tcp {socket}{rest}")),
        1 => "unix( https)?",
        1 => Just("none".to_owned()),
    ];
    let network = prop_oneof![
        4 => Just("10.0.0.0/8".to_owned()),
        2 => Just("2001:db8::/32".to_owned()),
        1 => Just("0.0.0.0/0".to_owned()),
        1 => Just("::/0".to_owned()),
        1 => address(),
        1 => (address(), 0u8..=128).prop_map(|(address, prefix)| format!("{address}/{prefix}")),
    ];
    let trust = (prop::collection::vec(network, 0..4), "( unix)?");
    let trust = trust.prop_map(|(networks, unix)| format!("{}{unix}", networks.join(" ")));
    let trust = prop_oneof![
        6 => trust.clone(),
        1 => trust.prop_map(|trust| format!("{trust} nearest")),
        2 => "hops=[0-4]( unix)?",
    ];
    let settings = "(|replace|line|if-none|keep)( -proto)?( -host)?( \\+port)?( \\+real-ip)?( \\+envoy)?\
        ( \\+forwarded( by)?( with-proto)?( with-host)?)?( pass-on)?\
        (|| read=forwarded| read=forwarded| read=x-real-ip| read=client-of)( list=client-of)?\
        (|| except=10.0.0.0/8| except=::/0)";
    let target = "(/|/a\\?b|http://[a-z]{1,3}(:80)?/)";
    let headers = prop::collection::vec(header(), 0..8);
    (peer, trust, settings, target, headers).prop_map(|(peer, trust, settings, target, headers)| {
        format!(
            "{peer}\n{trust}\n{settings}\n{target}\n{}",
            headers.join("\n")
        )
    })
}

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
