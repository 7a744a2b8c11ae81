//! Replays what nginx and HAProxy did with recorded requests, where one of our settings stands for theirs.
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
    Client, Evidence, ForwardedFor, ForwardedLayer, IdentityHeader, Peer, Scheme, Trust,
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

#[tokio::test]
async fn clients_are_those_of_nginx_realip() {
    for id in [
        "xff-recursive-a",
        "xff-trustall-a",
        "xff-v6-a",
        "untrusted-a",
    ] {
        let Some(case) = Case::load(&format!("nginx-realip-{id}")) else {
            return;
        };
        let networks = case.strings("/config/params/realip/from");
        let layer = ForwardedLayer::new(trust(&networks));
        let mut differences = 0;
        for (input, expected) in case.accepted() {
            let passed = pass(&layer, input).await;
            let client = passed.extensions().get::<Client>().unwrap();
            let nginx: IpAddr = text(&expected["client"]).parse().unwrap();
            let different = other_client(input).filter(|_| id != "untrusted-a");
            // nginx hands an IPv4-mapped client on as IPv6; we name one client one way on every listener.
            let nginx = nginx.to_canonical();
            assert_eq!(
                client.address().unwrap(),
                different.unwrap_or(nginx),
                "{id}: {input}"
            );
            differences += usize::from(different.is_some_and(|ours| ours != nginx));
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
        }
        let listed = if id == "untrusted-a" {
            0
        } else {
            OTHER_CLIENTS.len()
        };
        assert_eq!(
            differences, listed,
            "{id}: every listed difference is one, and occurs"
        );
    }
}

/// `X-Forwarded-For $proxy_add_x_forwarded_for`: what append mode does for peers that are trusted.
#[tokio::test]
async fn appending_is_that_of_nginx() {
    for id in ["typical-a", "httphost-a"] {
        let Some(case) = Case::load(&format!("nginx-forwarded-{id}")) else {
            return;
        };
        let layer = ForwardedLayer::new(trust(&["0.0.0.0/0", "::/0"]));
        for (input, expected) in case.accepted() {
            // The mapped peer again: we write it as IPv4.
            let nginx = joined(expected, "x-forwarded-for")
                .unwrap()
                .replace("::ffff:127.0.0.1", "127.0.0.1");
            assert_eq!(
                header(&pass(&layer, input).await, "x-forwarded-for"),
                Some(nginx),
                "{id}: {input}"
            );
        }
    }
}

/// `option forwardfor`: one line more, which means the same as our one line, RFC 9110 §5.3.
#[tokio::test]
async fn appending_means_the_same_as_that_of_haproxy() {
    let Some(case) = Case::load("haproxy-forwardfor-plain-a") else {
        return;
    };
    let layer = ForwardedLayer::new(trust(&["0.0.0.0/0", "::/0"]));
    for (input, expected) in case.accepted() {
        let haproxy = joined(expected, "x-forwarded-for");
        assert_eq!(
            header(&pass(&layer, input).await, "x-forwarded-for"),
            haproxy,
            "{input}"
        );
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

/// `X-Real-IP $remote_addr` behind realip: the resolved client, whatever was received under that name. With
/// replacing, `X-Forwarded-For` says the same.
///
/// Differences: the clients above; `X-Forwarded-Proto` is the listener's scheme for nginx, while we believe a
/// trusted peer that sends it; nginx appends the resolved client to `X-Forwarded-For`, where we append the peer.
#[tokio::test]
async fn the_written_client_is_that_of_nginx_behind_realip() {
    let Some(case) = Case::load("nginx-forwarded-realip+typical-a") else {
        return;
    };
    let networks = case.strings("/config/params/realip/from");
    let layer = ForwardedLayer::new(trust(&networks))
        .with_forwarded_for(ForwardedFor::Replace)
        .with_header(IdentityHeader::XRealIp);
    for (input, expected) in case.accepted() {
        let passed = pass(&layer, input).await;
        let client = other_client(input)
            .map(|address| address.to_string())
            .or_else(|| joined(expected, "x-real-ip"));
        assert_eq!(header(&passed, "x-real-ip"), client, "{input}");
        assert_eq!(header(&passed, "x-forwarded-for"), client, "{input}");
        if lines(input, "x-forwarded-proto").is_empty() {
            assert_eq!(
                header(&passed, "x-forwarded-proto"),
                joined(expected, "x-forwarded-proto"),
                "{input}"
            );
        }
    }
}

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

    fn strings(&self, pointer: &str) -> Vec<&str> {
        self.0
            .pointer(pointer)
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn trust(networks: &[&str]) -> Trust {
    Trust::networks(networks.iter().map(|network| network.parse().unwrap()))
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

fn other_client(input: &Value) -> Option<IpAddr> {
    let received = lines(input, "x-forwarded-for");
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
