//! What the layer has to do, once more, the slow and obvious way; and a check of the layer against it.
//!
//! The properties, the replay of found inputs and the fuzz target `forwarded_parse` share this file. An input is
//! text, so that a found one can be read:
//!
//! ```text
//! tcp 10.0.0.2:40000 https 8443          or: unix | none
//! 10.0.0.0/8 2001:db8::/32 unix          who is trusted
//! replace +real-ip +port -host -proto    settings that differ from the defaults
//! /target
//! X-Forwarded-For: 203.0.113.7
//! ```

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Request, Uri};
use tightrope_forwarded::{
    Cidr, Client, Evidence, ForwardedFor, ForwardedLayer, IdentityHeader, Peer, Scheme, Trust,
};
use tower::{Layer, Service};

/// Runs an input through the layer and panics where it does not do what the reference does.
pub(crate) fn check(input: &[u8]) {
    let case = Case::parse(input);
    let (headers, client) = case.run();
    let (expected_headers, expected_client) = case.expected();
    let input = String::from_utf8_lossy(input);
    assert_eq!(headers, expected_headers, "the headers of\n{input}");
    assert_eq!(client, expected_client, "the client of\n{input}");

    if !case.believed() {
        let mut silent = case.clone();
        silent.headers.retain(|(name, _)| !is_identity(name));
        assert_eq!(
            (headers, client),
            silent.run(),
            "a peer that is not trusted had a say in\n{input}"
        );
    }
}

/// A request, what is known of its connection, and the settings it meets.
#[derive(Clone, Debug)]
struct Case {
    peer: Option<Connection>,
    networks: Vec<Network>,
    trusts_unix: bool,
    replace: bool,
    writes: Writes,
    target: Uri,
    headers: Headers,
}

type Headers = Vec<(String, Vec<u8>)>;

/// Address, port, scheme, host, and whether a header said so.
type Found = (
    Option<IpAddr>,
    Option<u16>,
    &'static str,
    Option<String>,
    bool,
);

#[derive(Clone, Copy, Debug)]
struct Connection {
    socket: Option<SocketAddr>,
    https: bool,
    local_port: Option<u16>,
}

#[derive(Clone, Debug)]
struct Network {
    text: String,
    bits: u128,
    prefix: u32,
    v4: bool,
}

#[derive(Clone, Copy, Debug)]
struct Writes {
    proto: bool,
    host: bool,
    port: bool,
    real_ip: bool,
}

impl Case {
    fn parse(input: &[u8]) -> Self {
        let mut lines = input.split(|byte| *byte == b'\n');
        let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let (peer, trust, settings, target) = (text(), text(), text(), text());

        let settings: Vec<&str> = settings.split_whitespace().collect();
        let has = |setting: &str| settings.contains(&setting);
        let writes = Writes {
            proto: !has("-proto"),
            host: !has("-host"),
            port: has("+port"),
            real_ip: has("+real-ip"),
        };
        Self {
            peer: Connection::parse(&peer),
            networks: trust
                .split_whitespace()
                .filter_map(Network::parse)
                .collect(),
            trusts_unix: trust.split_whitespace().any(|word| word == "unix"),
            replace: has("replace"),
            writes,
            target: target.parse().unwrap_or_default(),
            headers: lines.filter_map(header).collect(),
        }
    }

    /// What the layer does.
    fn run(&self) -> (Headers, Option<Found>) {
        let networks = self
            .networks
            .iter()
            .map(|network| network.text.parse::<Cidr>().unwrap());
        let mut trust = Trust::networks(networks);
        if self.trusts_unix {
            trust = trust.with_unix_peers();
        }
        let mut layer = ForwardedLayer::new(trust);
        if self.replace {
            layer = layer.with_forwarded_for(ForwardedFor::Replace);
        }
        for (written, header) in [
            (self.writes.proto, IdentityHeader::XForwardedProto),
            (self.writes.host, IdentityHeader::XForwardedHost),
            (self.writes.port, IdentityHeader::XForwardedPort),
            (self.writes.real_ip, IdentityHeader::XRealIp),
        ] {
            layer = if written {
                layer.with_header(header)
            } else {
                layer.without_header(header)
            };
        }

        let mut request = Request::new(());
        *request.uri_mut() = self.target.clone();
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request
                .headers_mut()
                .append(name, HeaderValue::from_bytes(value).unwrap());
        }
        if let Some(connection) = self.peer {
            request.extensions_mut().insert(connection.peer());
        }

        let Ok(request) = layer.layer(Echo).call(request).into_inner();
        let headers = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let client = request.extensions().get::<Client>().map(|client| {
            let host = client.host().map(str::to_owned);
            let from_header = client.evidence() == Evidence::XForwardedFor;
            (
                client.address(),
                client.port(),
                client.scheme().as_str(),
                host,
                from_header,
            )
        });
        (sorted(headers.collect()), client)
    }

    /// What it should do.
    fn expected(&self) -> (Headers, Option<Found>) {
        let others = || {
            self.headers
                .iter()
                .filter(|(name, _)| !is_identity(name))
                .cloned()
        };
        let Some(peer) = self.peer else {
            return (sorted(others().collect()), None);
        };
        let believed = self.believed();
        let mut address = peer.socket.map(|socket| socket.ip().to_canonical());
        let mut port = peer.socket.map(|socket| socket.port());
        let mut from_header = false;
        let peer_text = address.map(|address| address.to_string());

        if believed {
            for element in self.list("x-forwarded-for").iter().rev() {
                let Some((hop, hop_port)) = hop(element) else {
                    break;
                };
                (address, port, from_header) = (Some(hop), hop_port, true);
                if !self.trusts(hop) {
                    break;
                }
            }
        }
        let last = |name: &str| self.list(name).pop().filter(|_| believed);
        let received_scheme =
            last("x-forwarded-proto").and_then(|scheme| match &*scheme.to_ascii_lowercase() {
                b"http" | b"ws" => Some("http"),
                b"https" | b"wss" => Some("https"),
                _ => None,
            });
        let scheme = received_scheme.unwrap_or(if peer.https { "https" } else { "http" });
        let host = last("x-forwarded-host")
            .and_then(valid_host)
            .or_else(|| self.own_host());
        let local_port = if received_scheme.is_some() {
            None
        } else {
            peer.local_port
        };
        let outer_port = last("x-forwarded-port")
            .and_then(|port| number(&port))
            .or(local_port);
        let address_text = address.map(|address| address.to_string());

        let hops = if believed && !self.replace {
            let lines = self
                .lines("x-forwarded-for")
                .into_iter()
                .chain(peer_text.map(String::into_bytes));
            Some(lines.collect::<Vec<_>>().join(&b", "[..])).filter(|joined| !joined.is_empty())
        } else {
            address_text.clone().map(String::into_bytes)
        };
        let owned = [
            (true, "x-forwarded-for", hops),
            (self.writes.proto, "x-forwarded-proto", Some(scheme.into())),
            (
                self.writes.host,
                "x-forwarded-host",
                host.clone().map(String::into_bytes),
            ),
            (
                self.writes.port,
                "x-forwarded-port",
                outer_port.map(|port| port.to_string().into_bytes()),
            ),
            (
                self.writes.real_ip,
                "x-real-ip",
                address_text.map(String::into_bytes),
            ),
        ];
        let is_owned = |name: &str| owned.iter().any(|(on, owned, _)| *on && *owned == name);
        let mut headers: Headers = others().collect();
        if believed {
            let passed_on = |name: &str| is_identity(name) && fold(name) == name && !is_owned(name);
            headers.extend(
                self.headers
                    .iter()
                    .filter(|(name, _)| passed_on(name))
                    .cloned(),
            );
        }
        for (on, name, value) in owned.clone() {
            headers.extend(value.filter(|_| on).map(|value| (name.to_owned(), value)));
        }
        (
            sorted(headers),
            Some((address, port, scheme, host, from_header)),
        )
    }

    fn believed(&self) -> bool {
        self.peer.is_some_and(|peer| match peer.socket {
            Some(socket) => self.trusts(socket.ip()),
            None => self.trusts_unix,
        })
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }

    fn lines(&self, name: &str) -> Vec<Vec<u8>> {
        self.headers
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// The elements that are looked at: the last 1024, and of them those that are not empty.
    fn list(&self, name: &str) -> Vec<Vec<u8>> {
        let joined = self.lines(name).join(&b","[..]);
        let elements: Vec<_> = joined
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .collect();
        let seen = &elements[elements.len().saturating_sub(1024)..];
        seen.iter()
            .filter(|element| !element.is_empty())
            .map(|element| element.to_vec())
            .collect()
    }

    fn own_host(&self) -> Option<String> {
        if let Some(authority) = self.target.authority() {
            return valid_host(authority.as_str().into());
        }
        let mut lines = self.lines("host");
        if lines.len() == 1 {
            lines.pop().and_then(valid_host)
        } else {
            None
        }
    }
}

impl Connection {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let socket = match words.next()? {
            "tcp" => Some(words.next()?.parse().ok()?),
            "unix" => None,
            _ => return None,
        };
        let rest: Vec<&str> = words.collect();
        let local_port = rest.iter().find_map(|word| word.parse().ok());
        Some(Self {
            socket,
            https: rest.contains(&"https"),
            local_port,
        })
    }

    fn peer(self) -> Peer {
        let peer = self.socket.map_or_else(Peer::unix, Peer::tcp);
        let peer = peer.with_scheme(if self.https {
            Scheme::Https
        } else {
            Scheme::Http
        });
        self.local_port
            .map_or(peer, |port| peer.with_local_port(port))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let mut prefix = if text.contains('/') {
            prefix.parse().ok().filter(|bits| *bits <= width)?
        } else {
            width
        };
        if prefix.to_string().len() < text.split_once('/').map_or(0, |(_, digits)| digits.len()) {
            return None; // `/08` and `/+8`: whether they are accepted is not the matter here
        }
        let mut v4 = address.is_ipv4();
        let canonical = address.to_canonical();
        if canonical.is_ipv4() && !v4 && prefix >= 96 {
            (v4, prefix) = (true, prefix - 96);
        }
        Some(Self {
            text: text.to_owned(),
            bits: bits(if v4 { canonical } else { address }),
            prefix,
            v4,
        })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let width = if self.v4 { 32 } else { 128 };
        let ignored = width - self.prefix;
        let shift = |bits: u128| bits.checked_shr(ignored).unwrap_or(0);
        address.is_ipv4() == self.v4 && shift(bits(address)) == shift(self.bits)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn header(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name.to_string(), value.as_bytes().to_vec()))
}

/// Lines of one name stay in order.
fn sorted(mut headers: Headers) -> Headers {
    headers.sort_by(|(a, _), (b, _)| a.cmp(b));
    headers
}

/// An element of X-Forwarded-For, by the parsers of the standard library.
fn hop(element: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let element = str::from_utf8(element).ok()?;
    let (text, has_zone) = without_zone(element)?;
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let alone = match bracketed {
        Some(inner) => inner.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok(),
    };
    let (address, port) = match alone {
        Some(address) => (address, None),
        None => {
            let socket: SocketAddr = text.parse().ok()?;
            let digits = text.rsplit(':').next()?;
            (socket.ip(), Some(number(digits.as_bytes())?))
        }
    };
    (address.is_ipv6() || !has_zone).then_some((address.to_canonical(), port))
}

fn without_zone(element: &str) -> Option<(String, bool)> {
    let Some(start) = element.find('%') else {
        return Some((element.to_owned(), false));
    };
    let end = match element.find(']') {
        Some(bracket) if bracket < start => return None,
        Some(bracket) => bracket,
        None => element.len(),
    };
    let zone = &element[start + 1..end];
    let is_zone = !zone.is_empty()
        && zone
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._~%".contains(c));
    is_zone.then(|| (format!("{}{}", &element[..start], &element[end..]), true))
}

fn number(digits: &[u8]) -> Option<u16> {
    let digits = str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.len() <= 5 && !digits.starts_with('+'))?;
    digits.parse().ok().filter(|number| *number > 0)
}

fn valid_host(text: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(text).ok()?;
    let colon = text
        .rfind(':')
        .filter(|colon| !text[*colon..].contains(']'));
    let (name, port) = text.split_at(colon.unwrap_or(text.len()));
    let port_is_valid = port.len() <= 1 || number(&port.as_bytes()[1..]).is_some();
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_address = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c));
    (port_is_valid && (is_address || is_name)).then_some(text)
}

/// The name as a server sees it that turns names into variables.
fn fold(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

fn is_identity(name: &str) -> bool {
    let name = fold(name);
    name.starts_with("x-forwarded-")
        || name.starts_with("x-original-")
        || "forwarded x-forwarded forwarded-for x-real-ip x-client-ip client-ip x-cluster-client-ip x-remote-ip \
            x-remote-addr x-originating-ip x-proxyuser-ip proxy-client-ip wl-proxy-client-ip x-envoy-external-address \
            x-envoy-internal true-client-ip cf-connecting-ip cf-connecting-ipv6 do-connecting-ip fastly-client-ip \
            fly-client-ip x-appengine-user-ip x-azure-clientip x-azure-socketip front-end-https x-scheme x-url-scheme \
            x-host x-http-host-override x-rewrite-url"
            .split_whitespace()
            .any(|field| field == name)
}

/// Answers with the request as it arrived.
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
