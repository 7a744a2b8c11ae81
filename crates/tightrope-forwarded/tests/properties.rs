//! The layer against the reference, over generated requests.

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

fn header() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => list().prop_map(|list| format!("X-Forwarded-For: {list}")),
        2 => host().prop_map(|host| format!("Host: {host}")),
        2 => host().prop_map(|host| format!("X-Forwarded-Host: {host}")),
        2 => "X-Forwarded-Proto: (http|HTTPS|wss|ftp|https, http|)",
        2 => "X-Forwarded-Port: [0-9]{0,6}",
        2 => address().prop_map(|address| format!("X-Real-IP: {address}")),
        2 => address().prop_map(|address| format!("Forwarded: for={address}")),
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
    let settings = "(replace)?( -proto)?( -host)?( \\+port)?( \\+real-ip)?";
    let target = "(/|/a\\?b|http://[a-z]{1,3}(:80)?/)";
    let headers = prop::collection::vec(header(), 0..8);
    (peer, trust, settings, target, headers).prop_map(|(peer, trust, settings, target, headers)| {
        format!(
            "{peer}\n{trust}\n{settings}\n{target}\n{}",
            headers.join("\n")
        )
    })
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
}
