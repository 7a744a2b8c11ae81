//! Addresses, names and weights: what is accepted, and that printing gives it back.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

use proptest::prelude::*;
use tightrope_upstream::{Address, EndpointId, EndpointSpec, Group, Weight};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn an_address_is_an_ip_a_name_or_a_path() {
    let socket = "10.0.0.1:8080".parse().unwrap();
    assert_eq!(address("10.0.0.1:8080"), Address::Socket(socket));
    let socket = "[2001:db8::1]:443".parse().unwrap();
    assert_eq!(address("[2001:db8::1]:443"), Address::Socket(socket));
    assert_eq!(
        address("API.Internal.:80"),
        Address::host("api.internal", 80).unwrap()
    );
    assert_eq!(
        address("unix:/run/api.sock"),
        Address::unix("/run/api.sock").unwrap()
    );
    assert_eq!(address("localhost:080").to_string(), "localhost:80");
    assert_eq!(address("_grpc._tcp.x:1").to_string(), "_grpc._tcp.x:1");
}

#[test]
fn what_cannot_be_connected_to_is_refused_with_its_reason() {
    let cases = [
        ("", "no port"),
        ("api.internal", "no port"),
        (":80", "1 to 253 bytes"),
        (".:80", "1 to 253 bytes"),
        ("a..b:80", "not a host name"),
        ("-a.b:80", "not a host name"),
        ("a-.b:80", "not a host name"),
        ("a b:80", "not a host name"),
        ("bücher.example:80", "not a host name"),
        ("http://a:80", "not a host name"),
        ("a:80/", "not a number"),
        ("a:+80", "not a number"),
        ("a:", "not a number"),
        ("a:0", "port 0"),
        ("10.0.0.1:0", "port 0"),
        ("[::1]:0", "port 0"),
        ("a:65536", "between 1 and 65535"),
        ("a:99999999999999999999", "between 1 and 65535"),
        ("256.0.0.1:80", "not an IPv4 address"),
        ("10.1:80", "not an IPv4 address"),
        ("::1:80", "not a host name"),
        ("[::1:80", "not a host name"),
        ("[::1]80", "not a number"),
        ("unix:", "absolute"),
        ("unix:run/api.sock", "absolute"),
        ("unix:/a\0b", "107"),
    ];
    for (text, reason) in cases {
        let error = text.parse::<Address>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
        assert!(error.contains(text), "{text}: {error}");
    }
    let label = "a".repeat(64);
    assert!(Address::host(&label, 1).is_err());
    assert!(Address::host(&label[1..], 1).is_ok());
    let longest = [&label[1..]; 4].join(".")[..253].to_owned();
    assert!(Address::host(&longest, 1).is_ok());
    assert!(Address::host(&format!("{longest}a"), 1).is_err());
    assert!(Address::unix(format!("/{}", "a".repeat(106))).is_ok());
    assert!(Address::unix(format!("/{}", "a".repeat(107))).is_err());
}

#[test]
fn the_flow_of_a_packet_is_no_part_of_an_address() {
    let with = |flow| SocketAddr::from(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, flow, 3));
    let address = Address::try_from(with(7)).unwrap();
    assert_eq!(address, Address::try_from(with(0)).unwrap());
    assert_eq!(address, address.to_string().parse().unwrap());
    assert_eq!(address.to_string(), "[::1%3]:80");
}

#[cfg(unix)]
#[test]
fn a_path_that_cannot_be_written_down_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let path = OsString::from_vec(b"/run/\xff.sock".to_vec());
    assert!(Address::unix(path).is_err());
}

#[test]
fn two_addresses_never_share_an_id() {
    let long = ["a".repeat(63), "a".repeat(63), "a".repeat(63)].join(".");
    let texts = [
        format!("{long}.{}:65535", "a".repeat(61)),
        format!("{long}.{}b:65535", "a".repeat(60)),
        "unix:/run/a b".to_owned(),
        "unix:/run/a_b".to_owned(),
        "unix:/run/a\tb".to_owned(),
        "unix:/run/a%20b".to_owned(),
        "unix:/run/a\u{2003}b".to_owned(),
        format!("unix:/{}", " ".repeat(106)),
        format!("unix:/{}", " ".repeat(105)),
    ];
    let mut ids: Vec<_> = texts
        .iter()
        .map(|text| EndpointSpec::new(address(text)).id)
        .collect();
    for id in &ids {
        assert_eq!(&EndpointId::new(id.as_str()).unwrap(), id);
    }
    assert_eq!(ids[2].as_str(), "unix:/run/a%20b");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), texts.len());
}

#[test]
fn names_have_no_white_space_or_control_characters_and_at_most_512_bytes() {
    for wrong in [
        "",
        " ",
        "a b",
        "a\n",
        "\u{a0}",
        "a\0",
        "\u{85}",
        &"a".repeat(513),
    ] {
        assert!(EndpointId::new(wrong).is_err(), "{wrong:?}");
        assert!(Group::new(wrong).is_err(), "{wrong:?}");
    }
    for right in ["a", "10.0.0.1:80", "größe", &"a".repeat(512)] {
        assert_eq!(EndpointId::new(right).unwrap().as_str(), right);
        assert_eq!(Group::new(right).unwrap().as_str(), right);
    }
    let error = EndpointId::new("a b").unwrap_err().to_string();
    assert!(error.starts_with("`a b` is not an endpoint id"), "{error}");
    let error = Group::new("a b").unwrap_err().to_string();
    assert!(error.starts_with("`a b` is not a group name"), "{error}");
}

#[test]
fn a_weight_is_a_whole_number_from_0_to_65535() {
    assert_eq!(Weight::default(), Weight::ONE);
    assert_eq!(Weight::new(65_535), Ok(Weight::MAX));
    assert_eq!(
        Weight::new(65_536).unwrap_err().to_string(),
        "weight `65536` is not a whole number from 0 to 65535"
    );
    for wrong in [
        "",
        "-1",
        "+1",
        "1.5",
        " 1",
        "1 ",
        "65536",
        "99999999999999999999",
        "one",
    ] {
        assert!(wrong.parse::<Weight>().is_err(), "{wrong}");
    }
    assert_eq!("007".parse(), Ok(Weight::from(7)));
}

prop_compose! {
    fn label()(label in "[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,20}[a-zA-Z0-9_])?") -> String { label }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_ip_address_is_printed_as_it_is_parsed(ip: IpAddr, port in 1..=u16::MAX) {
        let address = Address::try_from(SocketAddr::new(ip, port)).unwrap();
        prop_assert_eq!(&address.to_string().parse::<Address>().unwrap(), &address);
        prop_assert_eq!(EndpointId::from(&address).to_string(), address.to_string());
    }

    #[test]
    fn a_host_name_is_printed_as_it_is_parsed(
        labels in prop::collection::vec(label(), 1..6), port in 1..=u16::MAX,
    ) {
        let text = format!("{}.x:{port}", labels.join("."));
        let address: Address = text.parse().unwrap();
        prop_assert_eq!(address.to_string(), text.to_ascii_lowercase());
        prop_assert_eq!(&address.to_string().parse::<Address>().unwrap(), &address);
    }

    #[test]
    fn a_path_is_printed_as_it_is_parsed(path in "/[^\0]{0,20}") {
        let address = Address::unix(&path).unwrap();
        prop_assert_eq!(address.to_string(), format!("unix:{path}"));
        prop_assert_eq!(&address.to_string().parse::<Address>().unwrap(), &address);
        let id = EndpointId::from(&address);
        prop_assert_eq!(&EndpointId::new(id.as_str()).unwrap(), &id);
    }

    #[test]
    fn whatever_parses_as_an_address_prints_to_the_same(text in ".{0,30}(:[0-9]{0,6})?") {
        if let Ok(address) = text.parse::<Address>() {
            let again: Address = address.to_string().parse().unwrap();
            prop_assert_eq!(&again, &address);
            prop_assert_eq!(again.to_string(), address.to_string());
        }
    }

    #[test]
    fn whatever_is_a_name_prints_to_the_same(text in ".{0,20}") {
        if let Ok(id) = text.parse::<EndpointId>() {
            prop_assert_eq!(id.to_string(), &text[..]);
            prop_assert_eq!(text.parse::<Group>().unwrap().to_string(), text);
        } else {
            prop_assert!(text.parse::<Group>().is_err());
        }
    }

    #[test]
    fn a_weight_is_printed_as_it_is_parsed(value: u16) {
        let weight = Weight::from(value);
        prop_assert_eq!(weight.to_string().parse(), Ok(weight));
        prop_assert_eq!(Weight::new(weight.get()), Ok(weight));
    }
}
