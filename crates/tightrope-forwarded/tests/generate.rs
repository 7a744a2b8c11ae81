//! Requests, peers, trust and settings by chance.

use proptest::prelude::*;

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

pub(crate) fn list() -> impl Strategy<Value = String> {
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
pub(crate) fn forwarded() -> impl Strategy<Value = String> {
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
        2 => "Connection: (close, )?(X-Forwarded-For|x_forwarded_for|FORWARDED|X-Real-IP|client-of|x-envoy-external-address|cf-connecting-ip|x-other)(,x-forwarded-proto|, upgrade|)",
    ]
}

/// Inputs of the reference.
pub(crate) fn input() -> impl Strategy<Value = String> {
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
