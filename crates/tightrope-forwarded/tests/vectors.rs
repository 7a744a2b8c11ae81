//! Replays what nginx, HAProxy and Envoy did with recorded requests, under the settings that stand for theirs.
//!
//! What differs on purpose is listed here and in the documentation of `ForwardedLayer`.
//!
//! The folder is taken from `TIGHTROPE_VECTORS`; by default it lies beside the repository.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use http::{HeaderName, HeaderValue, Request};
use serde_json::Value;
use tightrope_forwarded::{
    Cidr, Client, ClientHeader, Evidence, ForwardedFor, ForwardedLayer, IdentityHeader, Peer,
    Scheme, Strangers, Trust,
};
use tower::{Layer, ServiceExt, service_fn};

/// Inputs of `nginx.realip` and `nginx.forwarded` after which we name another client, by their `X-Forwarded-For`
/// lines. An address of our own: `None` is the peer.
const OTHER_CLIENTS: [(&[&str], Option<&str>, &str); 6] = [
    (
        &[",203.0.113.7"],
        Some("203.0.113.7"),
        "nginx never takes the first character for a separator",
    ),
    (
        &["203.0.113.7", ""],
        Some("203.0.113.7"),
        "an empty line is empty elements, RFC 9110 §5.6.1.2; nginx stops at it",
    ),
    (
        &["203.0.113.7 198.51.100.23"],
        None,
        "only a comma separates, RFC 9110 §5.6.1; nginx takes a space too",
    ),
    (
        &["01.02.03.04"],
        None,
        "octets with leading zeros are octal to some servers; nginx reads decimal",
    ),
    (
        &["1..2.3"],
        None,
        "four octets are required; nginx reads an empty one as 0",
    ),
    (
        &["255.255.255.255"],
        Some("255.255.255.255"),
        "an address like any other; nginx uses it to mark errors",
    ),
];

/// `set_real_ip_from`, `real_ip_header`, `real_ip_recursive`: the client, its port, and what would be appended.
#[tokio::test]
async fn clients_are_those_of_nginx_realip() {
    // How many of the listed differences show: where one entry counts, the first of two lines stays unseen.
    for (id, listed) in [
        ("xff-recursive-a", 6),
        ("xff-trustall-a", 6),
        ("xff-v6-a", 6),
        ("xff-single-a", 6),
        ("untrusted-a", 0),
        ("xri-a", 0),
        ("xri-recursive-a", 0),
        ("custom-a", 0),
    ] {
        let Some(case) = Case::load(&format!("nginx-realip-{id}")) else {
            return;
        };
        let networks = case.networks("/config/params/realip/from");
        let trust = if case.param("/realip/recursive") == true {
            Trust::networks(networks)
        } else {
            Trust::nearest(networks)
        };
        let read = match text(case.param("/realip/header")) {
            "X-Forwarded-For" => ClientHeader::XForwardedFor,
            name => ClientHeader::Named(name.parse().unwrap()),
        };
        let read_name = text(case.param("/realip/header")).to_ascii_lowercase();
        let layer = ForwardedLayer::new(trust)
            .with_client_header(read.clone())
            .with_strangers(Strangers::PassOn);
        let mut differences = 0;
        for (input, expected) in case.accepted() {
            let passed = pass(&layer, input).await;
            let client = passed.extensions().get::<Client>().unwrap();
            let nginx: IpAddr = text(&expected["client"]).parse().unwrap();
            let different = other_client(input, &read_name).filter(|_| id != "untrusted-a");
            // nginx hands an IPv4-mapped client on as IPv6; we name one client one way on every listener.
            let nginx = nginx.to_canonical();
            assert_eq!(
                client.address().unwrap(),
                different.unwrap_or(nginx),
                "{id}: {input}"
            );
            let is_different = different.is_some_and(|ours| ours != nginx);
            differences += usize::from(is_different && read == ClientHeader::XForwardedFor);
            if different.is_none() {
                let port = match text(&expected["port"]) {
                    "peer" => Some(PEER_PORT),
                    "" => None,
                    port => Some(port.parse().unwrap()),
                };
                assert_eq!(client.port(), port, "{id}: {input}");
                assert_eq!(
                    client.evidence() == Evidence::Connection,
                    port == Some(PEER_PORT),
                    "{id}: {input}"
                );
            }
            let ours = header(&passed, "x-forwarded-for").unwrap();
            let theirs = text(&expected["add_xff"]).to_owned();
            assert_eq!(ours, with_peer(&theirs, expected, input), "{id}: {input}");
        }
        assert_eq!(
            differences, listed,
            "{id}: every listed difference is one, and occurs"
        );
    }
}

/// nginx as most configure it, without realip: what strangers send is passed on and the list extended, and the client
/// is the peer.
#[tokio::test]
async fn headers_are_those_of_nginx() {
    let pass_on = || {
        ForwardedLayer::new(Trust::nobody())
            .with_strangers(Strangers::PassOn)
            .without_header(IdentityHeader::XForwardedHost)
    };
    let typical = pass_on().with_header(IdentityHeader::XRealIp);
    let list_alone = pass_on().without_header(IdentityHeader::XForwardedProto);
    let nothing = list_alone.clone().with_forwarded_for(ForwardedFor::Keep);
    for (id, layer) in [
        ("typical-a", typical),
        ("httphost-a", list_alone),
        ("defaults-a", nothing),
    ] {
        let Some(case) = Case::load(&format!("nginx-forwarded-{id}")) else {
            return;
        };
        for (input, expected) in case.accepted() {
            let passed = pass(&layer, input).await;
            let client = passed.extensions().get::<Client>().unwrap();
            let peer = peer_address(input).to_canonical();
            assert_eq!(client.address(), Some(peer), "{id}: {input}");
            for name in NAMES {
                // The mapped peer again: we write it as IPv4.
                let nginx: Vec<_> = sent_on(expected, name)
                    .iter()
                    .map(|line| line.replace("::ffff:127.0.0.1", "127.0.0.1"))
                    .collect();
                assert_eq!(passed_lines(&passed, name), nginx, "{id}: {name}: {input}");
            }
        }
    }
}

/// `option forwardfor` with everything that may follow it.
#[tokio::test]
async fn headers_are_those_of_haproxy() {
    let local = |text: &str| [text.parse::<Cidr>().unwrap()];
    let plain = || {
        ForwardedLayer::new(Trust::nobody())
            .with_strangers(Strangers::PassOn)
            .with_forwarded_for(ForwardedFor::AppendLine)
            .without_header(IdentityHeader::XForwardedProto)
            .without_header(IdentityHeader::XForwardedHost)
    };
    let if_none = || plain().with_forwarded_for(ForwardedFor::IfNone);
    for (id, layer) in [
        ("plain-a", plain()),
        ("if-none-a", if_none()),
        ("except-a", plain().without_appending(local("127.0.0.9"))),
        (
            "except-net-a",
            plain().without_appending(local("127.0.0.0/8")),
        ),
        ("except6-a", plain().without_appending(local("::1"))),
        (
            "if-none-except-a",
            if_none().without_appending(local("127.0.0.9")),
        ),
        (
            "header-a",
            plain().with_forwarded_for_name(HeaderName::from_static("x-client-ip")),
        ),
    ] {
        let Some(case) = Case::load(&format!("haproxy-forwardfor-{id}")) else {
            return;
        };
        for (input, expected) in case.accepted() {
            let passed = pass(&layer, input).await;
            let client = passed.extensions().get::<Client>().unwrap();
            let peer = peer_address(input).to_canonical();
            assert_eq!(client.address(), Some(peer), "{id}: {input}");
            for name in NAMES {
                let haproxy = sent_on(expected, name);
                assert_eq!(
                    passed_lines(&passed, name),
                    haproxy,
                    "{id}: {name}: {input}"
                );
            }
        }
    }
}

/// `use_remote_address`, `xff_num_trusted_hops`, `skip_xff_append`.
///
/// Differences: entries are joined with `, ` where Envoy writes `,`, and empty lines keep their place in the list;
/// schemes are written in small letters; an address with a port or in brackets is one.
#[tokio::test]
async fn clients_and_headers_are_those_of_envoy() {
    let remote = |hops| {
        ForwardedLayer::new(Trust::hops(hops))
            .with_strangers(Strangers::PassOn)
            .with_header(IdentityHeader::XEnvoyExternalAddress)
            .without_header(IdentityHeader::XForwardedHost)
    };
    let inside = |hops: usize| {
        ForwardedLayer::new(Trust::hops(hops + 1))
            .with_forwarded_for(ForwardedFor::Keep)
            .without_header(IdentityHeader::XForwardedHost)
    };
    for (id, layer, listed) in [
        ("ura-a", remote(0), 0),
        ("ura-hops1-a", remote(1), 1),
        ("ura-hops2-a", remote(2), 0),
        (
            "ura-skip-a",
            remote(0).with_forwarded_for(ForwardedFor::Keep),
            0,
        ),
        ("noura-a", inside(0), 1),
        ("noura-hops1-a", inside(1), 0),
        ("noura-hops2-a", inside(2), 0),
    ] {
        let Some(case) = Case::load(&format!("envoy-xff-{id}")) else {
            return;
        };
        let mut differences = 0;
        for (input, expected) in case.accepted() {
            let passed = pass(&layer, input).await;
            let client = passed.extensions().get::<Client>().unwrap();
            let envoy = text(&expected["client"]).to_owned();
            // Envoy does not read an address with a port or in brackets.
            let ours = match &lines(input, "x-forwarded-for")[..] {
                ["[2001:db8:1::7]:443"] if client.hops() == 1 => "2001:db8:1::7".to_owned(),
                _ => envoy.clone(),
            };
            differences += usize::from(ours != envoy);
            assert_eq!(client.address().unwrap().to_string(), ours, "{id}: {input}");
            for name in NAMES {
                let envoy: Vec<_> = sent_on(expected, name)
                    .into_iter()
                    .map(|value| match name {
                        "x-forwarded-for" => entries(&value),
                        "x-forwarded-proto" => value.to_ascii_lowercase(),
                        "x-envoy-external-address" => ours.clone(),
                        _ => value,
                    })
                    .collect();
                let mut passed = passed_lines(&passed, name);
                if name == "x-forwarded-for" && !passed.is_empty() {
                    passed = vec![entries(&passed.join(","))];
                }
                assert_eq!(passed, envoy, "{id}: {name}: {input}");
            }
        }
        assert_eq!(differences, listed, "{id}");
    }
}

/// `X-Forwarded-For $remote_addr`, `X-Forwarded-Proto $scheme`, `X-Real-IP ""`: what strangers get.
///
/// Difference: nginx passes on whatever other identity header a stranger sends; we remove it.
#[tokio::test]
async fn overwriting_is_that_of_nginx() {
    let Some(case) = Case::load("nginx-forwarded-overwrite-a") else {
        return;
    };
    let layer = ForwardedLayer::new(Trust::nobody()).without_header(IdentityHeader::XForwardedHost);
    for (input, expected) in case.accepted() {
        let passed = pass(&layer, input).await;
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-real-ip"] {
            assert_eq!(
                header(&passed, name),
                joined(expected, name),
                "{name}: {input}"
            );
        }
        assert_eq!(header(&passed, "x-forwarded-host"), None, "{input}");
    }
}

/// The same as most configure it, behind realip: `X-Real-IP` is the resolved client, whatever was received under
/// that name, and replacing writes it to `X-Forwarded-For`.
///
/// Differences: the clients above; `X-Forwarded-Proto` is the listener's scheme for nginx, while we believe a
/// trusted peer that sends it; nginx appends the resolved client to `X-Forwarded-For`, where we append the peer.
#[tokio::test]
async fn the_written_client_is_that_of_nginx_behind_realip() {
    let Some(case) = Case::load("nginx-forwarded-realip+typical-a") else {
        return;
    };
    let networks = case.networks("/config/params/realip/from");
    let appending = ForwardedLayer::new(Trust::networks(networks))
        .with_strangers(Strangers::PassOn)
        .with_header(IdentityHeader::XRealIp)
        .without_header(IdentityHeader::XForwardedHost);
    let replacing = appending.clone().with_forwarded_for(ForwardedFor::Replace);
    for (input, expected) in case.accepted() {
        let passed = pass(&appending, input).await;
        let client = other_client(input, "x-forwarded-for")
            .map(|address| address.to_string())
            .or_else(|| joined(expected, "x-real-ip"));
        assert_eq!(header(&passed, "x-real-ip"), client, "{input}");
        let theirs = joined(expected, "x-forwarded-for").unwrap();
        let client_added = joined(expected, "x-real-ip").unwrap();
        let added = serde_json::json!({ "client": client_added });
        assert_eq!(
            header(&passed, "x-forwarded-for").unwrap(),
            with_peer(&theirs, &added, input),
            "{input}"
        );
        let nginx = sent_on(expected, "x-forwarded-host");
        assert_eq!(passed_lines(&passed, "x-forwarded-host"), nginx, "{input}");
        if lines(input, "x-forwarded-proto").is_empty() {
            assert_eq!(
                header(&passed, "x-forwarded-proto"),
                joined(expected, "x-forwarded-proto"),
                "{input}"
            );
        }
        let passed = pass(&replacing, input).await;
        assert_eq!(header(&passed, "x-forwarded-for"), client, "{input}");
    }
}

/// The recorded ones (`X-Forwarded-Port` is not) but for `Host`, which is the forwarding service's, and `X_Forwarded_For`, which HAProxy and
/// Envoy pass on and we remove.
const NAMES: [&str; 6] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "x-client-ip",
    "x-envoy-external-address",
];

const PEER_PORT: u16 = 40000;

struct Case(Value);

impl Case {
    /// `None`, and a message, when the vectors are not there.
    fn load(id: &str) -> Option<Self> {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors");
        let folder = std::env::var_os("TIGHTROPE_VECTORS")
            .map_or_else(|| PathBuf::from(beside), PathBuf::from);
        if !folder.is_dir() {
            eprintln!(
                "skipped {id}: no folder {}; set TIGHTROPE_VECTORS to the recorded vectors",
                folder.display()
            );
            return None;
        }
        let bytes = std::fs::read(folder.join(format!("{id}.json"))).unwrap();
        Some(Self(serde_json::from_slice(&bytes).unwrap()))
    }

    /// Inputs and what became of them, without the requests refused for two Host lines, which do not get this far.
    fn accepted(&self) -> impl Iterator<Item = (&Value, &Value)> {
        let inputs = self.0["inputs"].as_array().unwrap();
        let expected = self.0["expect"].as_array().unwrap();
        assert!(!inputs.is_empty() && inputs.len() == expected.len());
        inputs
            .iter()
            .zip(expected)
            .filter(|(_, expected)| expected["status"] != 400)
    }

    fn param(&self, pointer: &str) -> &Value {
        self.0["config"]["params"].pointer(pointer).unwrap()
    }

    fn networks(&self, pointer: &str) -> Vec<Cidr> {
        let networks = self.0.pointer(pointer).unwrap().as_array().unwrap();
        networks
            .iter()
            .map(|network| text(network).parse().unwrap())
            .collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn peer_address(input: &Value) -> IpAddr {
    text(&input["peer"]).parse().unwrap()
}

fn lines<'a>(input: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = input["headers"].as_array().unwrap().iter();
    headers
        .filter(|header| text(&header[0]).eq_ignore_ascii_case(name))
        .map(|header| text(&header[1]))
        .collect()
}

/// The list of nginx with the peer in place of the client that it appended; the mapped peer is written as IPv4.
fn with_peer(theirs: &str, expected: &Value, input: &Value) -> String {
    let received = theirs.strip_suffix(text(&expected["client"])).unwrap();
    format!("{received}{}", peer_address(input).to_canonical())
}

/// What a list says.
fn entries(value: &str) -> String {
    let entries = value.split(',').map(str::trim);
    let entries: Vec<_> = entries.filter(|entry| !entry.is_empty()).collect();
    entries.join(", ")
}

fn sent_on(expected: &Value, name: &str) -> Vec<String> {
    serde_json::from_value(expected["headers"][name].clone()).unwrap_or_default()
}

fn passed_lines(request: &Request<()>, name: &str) -> Vec<String> {
    let lines = request.headers().get_all(name).iter();
    lines
        .map(|line| line.to_str().unwrap().to_owned())
        .collect()
}

fn other_client(input: &Value, name: &str) -> Option<IpAddr> {
    let received = lines(input, name);
    let (_, ours, _reason) = OTHER_CLIENTS
        .iter()
        .find(|(listed, ..)| *listed == received)?;
    Some(ours.map_or(peer_address(input).to_canonical(), |ours| {
        ours.parse().unwrap()
    }))
}

/// What was sent to the server, its lines joined.
fn joined(expected: &Value, name: &str) -> Option<String> {
    let headers: BTreeMap<String, Vec<String>> =
        serde_json::from_value(expected["headers"].clone()).unwrap();
    headers.get(name).map(|lines| lines.join(", "))
}

fn header(request: &Request<()>, name: &str) -> Option<String> {
    let mut lines = request.headers().get_all(name).iter();
    let line = lines.next()?.to_str().unwrap().to_owned();
    assert!(lines.next().is_none(), "{name} has more than one line");
    Some(line)
}

async fn pass(layer: &ForwardedLayer, input: &Value) -> Request<()> {
    let scheme = if input["scheme"] == "https" {
        Scheme::Https
    } else {
        Scheme::Http
    };
    let peer = Peer::tcp(SocketAddr::new(peer_address(input), PEER_PORT)).with_scheme(scheme);
    let mut request = Request::get(text(&input["target"]))
        .extension(peer)
        .body(())
        .unwrap();
    for header in input["headers"].as_array().unwrap() {
        let name: HeaderName = text(&header[0]).parse().unwrap();
        // A server trims what stands around a value before anybody sees it.
        let value = HeaderValue::from_bytes(text(&header[1]).trim_ascii().as_bytes()).unwrap();
        request.headers_mut().append(name, value);
    }
    let echo = service_fn(async |request: Request<()>| Ok::<_, Infallible>(request));
    layer.layer(echo).oneshot(request).await.unwrap()
}
