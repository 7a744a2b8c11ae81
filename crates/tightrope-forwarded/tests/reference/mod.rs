//! What the layer has to do, once more, the slow and obvious way; and a check of the layer against it.
//!
//! The properties, the replay of found inputs and the fuzz target `forwarded_parse` share this file. An input is
//! text, so that a found one can be read:
//!
//! ```text
//! tcp 10.0.0.2:40000 https 8443          or: unix | none
//! 10.0.0.0/8 2001:db8::/32 unix          who is trusted; or: hops=2 | nearest
//! replace +real-ip +port -host -proto    settings that differ from the defaults, see `Settings`
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
    Cidr, Client, ClientHeader, Evidence, ForwardedElement, ForwardedFor, ForwardedLayer,
    IdentityHeader, Peer, Scheme, Strangers, Trust,
};
use tower::{Layer, Service};

use self::names::{fold, is_identity};

pub(crate) mod names;

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
        silent.headers.retain(|(name, _)| !case.is_claim(name));
        let (silent_headers, silent_client) = silent.run();
        assert_eq!(
            client, silent_client,
            "a peer that is not trusted had a say in the client of\n{input}"
        );
        assert!(
            case.settings.passes_on || headers == silent_headers,
            "a peer that is not trusted had a say in the headers of\n{input}"
        );
    }
}

/// A request, what is known of its connection, and the settings it meets.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) peer: Option<Connection>,
    networks: Vec<Network>,
    nearest: bool,
    hops: Option<usize>,
    trusts_unix: bool,
    settings: Settings,
    pub(crate) target: Uri,
    pub(crate) headers: Headers,
}

pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// What there is to know of a client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    address: Option<IpAddr>,
    port: Option<u16>,
    scheme: &'static str,
    host: Option<String>,
    evidence: Evidence,
    hops: usize,
}

/// One entry of a list, as far as it can be read.
#[derive(Clone, Debug, Default)]
struct Entry {
    hop: Option<(IpAddr, Option<u16>)>,
    scheme: Option<&'static str>,
    host: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
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

#[derive(Clone, Debug)]
struct Settings {
    /// `replace`, `line`, `if-none` or `keep`; else the default.
    list: ForwardedFor,
    /// `list=NAME`
    list_name: String,
    /// `except=NETWORK`
    left_out: Vec<Network>,
    /// `pass-on`
    passes_on: bool,
    /// `read=forwarded` or `read=NAME`
    read: ClientHeader,
    /// `-proto`, `-host`, `+port`, `+real-ip`, `+envoy`
    proto: bool,
    host: bool,
    port: bool,
    real_ip: bool,
    envoy: bool,
    /// `+forwarded`, and with it `by`, `with-proto`, `with-host`
    forwarded: bool,
    by: bool,
    with_proto: bool,
    with_host: bool,
}

impl Settings {
    fn parse(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let has = |word: &str| words.contains(&word);
        let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
        let name = |text: &str| text.parse::<HeaderName>().ok();
        Self {
            list: match () {
                () if has("replace") => ForwardedFor::Replace,
                () if has("line") => ForwardedFor::AppendLine,
                () if has("if-none") => ForwardedFor::IfNone,
                () if has("keep") => ForwardedFor::Keep,
                () => ForwardedFor::Append,
            },
            list_name: value("list=")
                .and_then(name)
                // Another setting writes these, and the last word is not the matter here.
                .filter(|name| !name.as_str().starts_with("x-") && name != "forwarded")
                .map_or("x-forwarded-for".to_owned(), |name| name.to_string()),
            left_out: value("except=")
                .and_then(Network::parse)
                .into_iter()
                .collect(),
            passes_on: has("pass-on"),
            read: match value("read=") {
                None => ClientHeader::XForwardedFor,
                Some("forwarded") => ClientHeader::Forwarded,
                Some(text) => name(text).map_or(ClientHeader::default(), ClientHeader::Named),
            },
            proto: !has("-proto"),
            host: !has("-host"),
            port: has("+port"),
            real_ip: has("+real-ip"),
            envoy: has("+envoy"),
            forwarded: has("+forwarded"),
            by: has("by"),
            with_proto: has("with-proto"),
            with_host: has("with-host"),
        }
    }

    fn layer(&self, trust: Trust) -> ForwardedLayer {
        let mut layer = ForwardedLayer::new(trust)
            .with_forwarded_for(self.list)
            .with_forwarded_for_name(self.list_name.parse().unwrap())
            .without_appending(self.left_out.iter().map(|out| out.text.parse().unwrap()))
            .with_client_header(self.read.clone());
        if self.passes_on {
            layer = layer.with_strangers(Strangers::PassOn);
        }
        for (written, header) in [
            (self.proto, IdentityHeader::XForwardedProto),
            (self.host, IdentityHeader::XForwardedHost),
            (self.port, IdentityHeader::XForwardedPort),
            (self.real_ip, IdentityHeader::XRealIp),
            (self.envoy, IdentityHeader::XEnvoyExternalAddress),
        ] {
            layer = if written {
                layer.with_header(header)
            } else {
                layer.without_header(header)
            };
        }
        if self.forwarded {
            let mut element = ForwardedElement::new();
            if self.by {
                element = element.with_by("[2001:db8::b]:1").unwrap();
            }
            if self.with_proto {
                element = element.with_proto();
            }
            if self.with_host {
                element = element.with_host();
            }
            layer = layer.with_forwarded(element);
        }
        layer
    }

    /// The element about somebody.
    fn element(&self, address: Option<IpAddr>, scheme: &str, host: Option<&str>) -> Vec<u8> {
        let mut pairs = vec![match address {
            Some(IpAddr::V4(v4)) => format!("for={v4}"),
            Some(IpAddr::V6(v6)) => format!("for=\"[{v6}]\""),
            None => "for=unknown".to_owned(),
        }];
        if self.by {
            pairs.push("by=\"[2001:db8::b]:1\"".to_owned());
        }
        if let Some(host) = host.filter(|_| self.with_host) {
            let needs_quotes = host.contains([':', '[']);
            pairs.push(if needs_quotes {
                format!("host=\"{host}\"")
            } else {
                format!("host={host}")
            });
        }
        if self.with_proto {
            pairs.push(format!("proto={scheme}"));
        }
        pairs.join(";").into_bytes()
    }
}

impl Case {
    pub(crate) fn parse(input: &[u8]) -> Self {
        let mut lines = input.split(|byte| *byte == b'\n');
        let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let (peer, trust, settings, target) = (text(), text(), text(), text());

        let has = |setting: &str| trust.split_whitespace().any(|word| word == setting);
        let hops = |word: &str| {
            word.strip_prefix("hops=")
                .and_then(|count| count.parse().ok())
        };
        Self {
            peer: Connection::parse(&peer),
            networks: trust
                .split_whitespace()
                .filter_map(Network::parse)
                .collect(),
            nearest: has("nearest"),
            hops: trust.split_whitespace().find_map(hops),
            trusts_unix: has("unix"),
            settings: Settings::parse(&settings),
            target: target.parse().unwrap_or_default(),
            headers: lines.filter_map(header).collect(),
        }
    }

    /// The layer that it meets.
    pub(crate) fn layer(&self) -> ForwardedLayer {
        let networks = self
            .networks
            .iter()
            .map(|network| network.text.parse::<Cidr>().unwrap());
        let mut trust = match self.hops {
            Some(hops) => Trust::hops(hops),
            None if self.nearest => Trust::nearest(networks),
            None => Trust::networks(networks),
        };
        if self.trusts_unix {
            trust = trust.with_unix_peers();
        }
        self.settings.layer(trust)
    }

    /// What the layer does.
    fn run(&self) -> (Headers, Option<Found>) {
        let layer = self.layer();
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
        let client = request.extensions().get::<Client>();
        let client = client.map(|client| Found {
            address: client.address(),
            port: client.port(),
            scheme: client.scheme().as_str(),
            host: client.host().map(str::to_owned),
            evidence: client.evidence(),
            hops: client.hops(),
        });
        (sorted(headers.collect()), client)
    }

    /// What it should do.
    pub(crate) fn expected(&self) -> (Headers, Option<Found>) {
        let settings = &self.settings;
        let mut headers: Headers = self.without_nominations();
        let Some(peer) = self.peer else {
            headers.retain(|(name, _)| !self.is_claim(name));
            return (sorted(headers), None);
        };
        let believed = self.believed();
        let passes = believed || settings.passes_on;
        let reads_forwarded = settings.read == ClientHeader::Forwarded;
        let own_scheme = if peer.https { "https" } else { "http" };
        let peer_address = peer.socket.map(|socket| socket.ip().to_canonical());
        let mut client = Found {
            address: peer_address,
            port: peer.socket.map(|socket| socket.port()),
            scheme: own_scheme,
            host: None,
            evidence: Evidence::Connection,
            hops: 0,
        };

        let last = |name: &str| {
            self.list(name)
                .pop()
                .filter(|_| believed && !reads_forwarded)
        };
        let mut received_scheme = last("x-forwarded-proto").and_then(|value| scheme(&value));
        let mut received_host = last("x-forwarded-host").and_then(valid_host);
        let (evidence, entries) = self.entries();
        let (first, count) = match self.hops {
            Some(hops) => (hops.saturating_sub(1), 1),
            None if self.nearest => (0, 1),
            None => (0, usize::MAX),
        };
        let entries = entries.iter().enumerate().skip(first).take(count);
        for (index, entry) in entries.filter(|_| believed) {
            let Some(entry) = entry else {
                break;
            };
            if reads_forwarded {
                (received_scheme, received_host) = (entry.scheme, entry.host.clone());
            }
            let Some((address, port)) = entry.hop else {
                break;
            };
            (client.address, client.port) = (Some(address), port);
            (client.evidence, client.hops) = (evidence, index + 1);
            if !self.trusts(address) {
                break;
            }
        }
        client.scheme = received_scheme.unwrap_or(own_scheme);
        client.host = received_host.or_else(|| self.own_host());

        let local_port = peer.local_port.filter(|_| received_scheme.is_none());
        let outer_port = last("x-forwarded-port")
            .and_then(|port| number(&port))
            .or(local_port);
        let text =
            |address: Option<IpAddr>| address.map(|address| address.to_string().into_bytes());
        let client_text = text(client.address);

        let list = self.written_list(
            &settings.list_name,
            passes && !reads_forwarded,
            peer_address,
            text(peer_address),
            client_text.clone(),
        );
        let own_host = self.own_host();
        let forwarded = self.written_list(
            "forwarded",
            passes && reads_forwarded,
            peer_address,
            Some(settings.element(peer_address, own_scheme, own_host.as_deref())),
            Some(settings.element(client.address, client.scheme, client.host.as_deref())),
        );
        let one = |value: Option<Vec<u8>>| value.into_iter().collect::<Vec<_>>();
        let host = client.host.clone().map(String::into_bytes);
        let port = outer_port.map(|port| port.to_string().into_bytes());
        let owned = [
            (true, &*settings.list_name, list),
            (settings.forwarded, "forwarded", forwarded),
            (
                settings.proto,
                "x-forwarded-proto",
                vec![client.scheme.into()],
            ),
            (settings.host, "x-forwarded-host", one(host)),
            (settings.port, "x-forwarded-port", one(port)),
            (settings.real_ip, "x-real-ip", one(client_text.clone())),
            (settings.envoy, "x-envoy-external-address", one(client_text)),
        ];

        let is_owned = |name: &str| owned.iter().any(|(on, owned, _)| *on && *owned == name);
        let other_family = if reads_forwarded {
            "x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port"
        } else {
            "forwarded"
        };
        headers.retain(|(name, _)| {
            let is_plain = fold(name) == *name || self.own_names().contains(name);
            let is_other = other_family.split(' ').any(|other| other == name);
            let passed_on = passes && is_plain && !is_other;
            !is_owned(name) && (!self.is_claim(name) || passed_on)
        });
        for (on, name, values) in &owned {
            let values = values.iter().filter(|_| *on);
            headers.extend(values.map(|value| ((*name).to_owned(), value.clone())));
        }
        (sorted(headers), Some(client))
    }

    /// The fields, with no identity field named by `Connection`.
    fn without_nominations(&self) -> Headers {
        let joined = self.lines("connection").join(&b","[..]);
        let all: Vec<_> = joined
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .collect();
        let names_claim = |option: &[u8]| {
            let name = String::from_utf8_lossy(option).to_ascii_lowercase();
            self.is_claim(&name)
        };
        let mut headers = self.headers.clone();
        if all.iter().any(|option| names_claim(option)) {
            let kept: Vec<_> = all.into_iter().filter(|o| !names_claim(o)).collect();
            let kept = kept.join(&b", "[..]);
            headers.retain(|(name, _)| name != "connection");
            if !kept.is_empty() {
                headers.push(("connection".to_owned(), kept));
            }
        }
        headers
    }

    /// The lines of a list: what was received if it may pass, and who is added.
    fn written_list(
        &self,
        name: &str,
        passes: bool,
        peer: Option<IpAddr>,
        hop: Option<Vec<u8>>,
        alone: Option<Vec<u8>>,
    ) -> Vec<Vec<u8>> {
        let received = self.lines(name);
        let is_left_out = peer.is_some_and(|peer| {
            let mut networks = self.settings.left_out.iter();
            networks.any(|network| network.contains(peer))
        });
        let all = |received: Vec<Vec<u8>>| received.into_iter().chain(hop.clone()).collect();
        match self.settings.list {
            _ if !passes => alone.into_iter().collect(),
            ForwardedFor::Replace => alone.into_iter().collect(),
            _ if is_left_out => received,
            ForwardedFor::AppendLine => all(received),
            ForwardedFor::IfNone if received.is_empty() => hop.into_iter().collect(),
            ForwardedFor::IfNone | ForwardedFor::Keep => received,
            _ => {
                let lines: Vec<Vec<u8>> = all(received);
                let joined = lines.join(&b", "[..]);
                Some(joined)
                    .filter(|joined| !joined.is_empty())
                    .into_iter()
                    .collect()
            }
        }
    }

    /// Which list is read, and its entries from the right; `None` is one that cannot be read.
    fn entries(&self) -> (Evidence, Vec<Option<Entry>>) {
        let addresses = |name: &str| {
            let alone = |element: &Vec<u8>| {
                hop(element).map(|hop| Entry {
                    hop: Some(hop),
                    ..Entry::default()
                })
            };
            self.list(name).iter().rev().map(alone).collect()
        };
        match &self.settings.read {
            ClientHeader::Named(name) => (Evidence::Named, addresses(name.as_str())),
            ClientHeader::Forwarded => {
                let lines = self.lines("forwarded");
                let mut elements: Vec<_> =
                    lines.iter().rev().flat_map(|line| split(line)).collect();
                elements.truncate(1024);
                elements.retain(|element| !element.is_empty());
                (
                    Evidence::Forwarded,
                    elements.iter().map(|text| entry(text)).collect(),
                )
            }
            _ => (Evidence::XForwardedFor, addresses("x-forwarded-for")),
        }
    }

    fn believed(&self) -> bool {
        self.hops != Some(0)
            && self.peer.is_some_and(|peer| match peer.socket {
                Some(socket) => self.hops.is_some() || self.trusts(socket.ip()),
                None => self.trusts_unix,
            })
    }

    /// Whether the address is in a network that counts; where hops are counted, none does.
    fn trusts(&self, address: IpAddr) -> bool {
        let mut networks = self.networks.iter();
        self.hops.is_none() && networks.any(|network| network.contains(address))
    }

    /// The names that the settings bring in.
    fn own_names(&self) -> Vec<String> {
        let mut names = vec![self.settings.list_name.clone()];
        if let ClientHeader::Named(name) = &self.settings.read {
            names.push(name.to_string());
        }
        names
    }

    pub(crate) fn is_claim(&self, name: &str) -> bool {
        is_identity(name) || self.own_names().iter().any(|own| fold(own) == fold(name))
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

    pub(crate) fn peer(self) -> Peer {
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

fn scheme(text: &[u8]) -> Option<&'static str> {
    match &*text.to_ascii_lowercase() {
        b"http" | b"ws" => Some("http"),
        b"https" | b"wss" => Some("https"),
        _ => None,
    }
}

/// The elements of a line of Forwarded, from the right: seen from there, a quote opens, and the next one that is
/// not behind an odd number of backslashes closes.
fn split(line: &[u8]) -> Vec<Vec<u8>> {
    let mut elements = vec![Vec::new()];
    let mut quoted = false;
    for (index, byte) in line.iter().enumerate().rev() {
        if *byte == b',' && !quoted {
            elements.push(Vec::new());
            continue;
        }
        if *byte == b'"' {
            let run = line[..index]
                .iter()
                .rev()
                .take_while(|byte| **byte == b'\\');
            quoted = !quoted || run.count() % 2 == 1;
        }
        elements.last_mut().unwrap().insert(0, *byte);
    }
    let trim = |element: Vec<u8>| element.trim_ascii().to_vec();
    elements.into_iter().map(trim).collect()
}

/// An element of Forwarded.
fn entry(element: &[u8]) -> Option<Entry> {
    // Bytes that are no text are as good as letters that no name or address has.
    let text: String = element.iter().map(|byte| char::from(*byte)).collect();
    let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        if c == ';' && !quoted {
            parts.push(String::new());
            continue;
        }
        (quoted, escaped) = match c {
            _ if escaped => (quoted, false),
            '\\' => (quoted, quoted),
            '"' => (!quoted, false),
            _ => (quoted, false),
        };
        parts.last_mut().unwrap().push(c);
    }
    let is_token = |text: &str| {
        let is_sign = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        !text.is_empty() && text.chars().all(is_sign)
    };
    let mut entry = Entry::default();
    let mut seen = Vec::new();
    for part in parts {
        let part = part.trim_matches([' ', '\t']);
        if part.is_empty() {
            continue;
        }
        let (name, value) = part.split_once('=')?;
        let name = name.to_ascii_lowercase();
        let value = if value.starts_with('"') {
            unquoted(value)?
        } else {
            Some(value.to_owned()).filter(|value| is_token(value))?
        };
        let is_known = ["for", "by", "proto", "host"].contains(&&*name);
        if !is_token(&name) || is_known && seen.contains(&name) {
            return None;
        }
        match &*name {
            "for" => entry.hop = node(&value),
            "proto" => entry.scheme = scheme(value.as_bytes()),
            "host" => entry.host = valid_host(value.into_bytes()),
            _ => {}
        }
        seen.push(name);
    }
    Some(entry)
}

fn unquoted(text: &str) -> Option<String> {
    let mut rest = text.strip_prefix('"')?.chars();
    let mut value = String::new();
    loop {
        match rest.next()? {
            '"' => return rest.next().is_none().then_some(value),
            '\\' => value.push(rest.next()?),
            c => value.push(c),
        }
    }
}

/// A node of RFC 7239: an address, IPv6 in brackets, with a port or a name for one.
fn node(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let is_hidden = |port: &str| {
        let name = port.strip_prefix('_').unwrap_or_default();
        let is_sign = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !name.is_empty() && name.chars().all(is_sign)
    };
    let (text, hidden) = match text.rsplit_once(':') {
        Some((text, port)) if is_hidden(port) => (text, true),
        _ => (text, false),
    };
    if !text.starts_with('[') && text.matches(':').count() > 1 {
        return None;
    }
    hop(text.as_bytes()).filter(|(_, port)| !hidden || port.is_none())
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
