//! Which identity headers leave, and with what in them.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use crate::host::Host;
use crate::names::{
    FORWARDED, X_ENVOY_EXTERNAL_ADDRESS, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT,
    X_FORWARDED_PROTO, X_REAL_IP, is_alike, is_disguised, is_identity,
};
use crate::node::port_number;
use crate::parse::{join_lines, last_element};
use crate::{Cidr, Client, ClientHeader, ForwardedElement, Peer, Trust};

/// What becomes of the list of hops, `X-Forwarded-For` and where written `Forwarded`, that a trusted peer sent.
///
/// From any other peer it is overwritten with the peer's address, unless [`Strangers::PassOn`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedFor {
    /// The default. All its lines and the address of the peer, joined with `, ` into one line, as
    /// `$proxy_add_x_forwarded_for` of nginx does. For servers that walk the list themselves.
    #[default]
    Append,
    /// Its lines as they are, and one more with the address of the peer, as `option forwardfor` of HAProxy does.
    /// It means the same as `Append` (RFC 9110 §5.3); some servers read the last line alone, some the first.
    AppendLine,
    /// Passed on if there is one, be it empty, else the address of the peer: `option forwardfor if-none` of HAProxy.
    IfNone,
    /// Passed on if there is one, and none written: `skip_xff_append` of Envoy.
    Keep,
    /// The address of the [`Client`] alone. For servers that take the first or the last element for the client.
    Replace,
}

/// What becomes of the identity headers of peers that are not trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strangers {
    /// The default: overwritten where we write them, removed where we do not.
    #[default]
    Overwrite,
    /// Passed on, and the list of hops extended, as from a trusted peer; what nginx, HAProxy and Envoy do unless
    /// told otherwise. The [`Client`] is the peer all the same, and what is written of it is not theirs to choose.
    ///
    /// Any client can then send any such header. Only for servers that look at nothing but the list, and walk it
    /// from the right themselves.
    PassOn,
}

/// A header that is written besides `X-Forwarded-For`, if asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdentityHeader {
    /// `X-Forwarded-Proto`: [`Client::scheme`], `http` or `https`. On by default.
    XForwardedProto,
    /// `X-Forwarded-Host`: [`Client::host`]; left out if that is `None`. On by default.
    XForwardedHost,
    /// `X-Forwarded-Port`: the last element of what a trusted peer sent, else [`Peer::local_port`]; left out if
    /// that is not known, or if a trusted peer sent the scheme without it: the port of our listener then
    /// says nothing about the one that the client used. Off by default.
    XForwardedPort,
    /// `X-Real-IP`: [`Client::address`]; left out if that is `None`. What a trusted peer sent under this name is
    /// overwritten too, so that it cannot contradict `X-Forwarded-For`. Off by default.
    XRealIp,
    /// `X-Envoy-External-Address`: the same for servers that expect Envoy. Off by default.
    XEnvoyExternalAddress,
}

/// The settings of the layer, and what they do to a request.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite {
    pub(crate) trust: Trust,
    pub(crate) read: ClientHeader,
    pub(crate) strangers: Strangers,
    pub(crate) forwarded_for: ForwardedFor,
    /// `X-Forwarded-For`, or what is written in its place.
    pub(crate) list: HeaderName,
    /// Peers that are not appended.
    pub(crate) left_out: Arc<[Cidr]>,
    pub(crate) element: Option<Arc<ForwardedElement>>,
    written: [bool; 5],
}

/// What happens to a list of hops.
enum Written {
    AsItIs,
    Instead(Option<HeaderValue>),
    Another(Option<HeaderValue>),
}

impl Rewrite {
    pub(crate) fn new(trust: Trust) -> Self {
        let mut rewrite = Self {
            trust,
            read: ClientHeader::default(),
            strangers: Strangers::default(),
            forwarded_for: ForwardedFor::default(),
            list: X_FORWARDED_FOR.clone(),
            left_out: Arc::default(),
            element: None,
            written: [false; 5],
        };
        rewrite.set_written(IdentityHeader::XForwardedProto, true);
        rewrite.set_written(IdentityHeader::XForwardedHost, true);
        rewrite
    }

    pub(crate) fn set_written(&mut self, header: IdentityHeader, written: bool) {
        self.written[header as usize] = written;
    }

    /// Resolves the client, puts it into the extensions, and leaves only headers that may be believed.
    pub(crate) fn apply<B>(&self, request: &mut Request<B>) {
        self.stop_nominations(request.headers_mut());
        let Some(peer) = request.extensions().get::<Peer>().copied() else {
            request.extensions_mut().remove::<Client>();
            remove_all(request.headers_mut(), |name| {
                self.is_claim(name.as_str().as_bytes())
            });
            return;
        };
        let (headers, target) = (request.headers(), request.uri());
        let client = Client::resolve(&self.trust, &self.read, &peer, headers, target);
        let element = self.element.as_deref().map(|element| {
            let own_host = Host::of_request(headers, target);
            let hop = element.write(peer.address(), peer.scheme(), own_host.as_ref());
            let whole = element.write(
                client.address(),
                client.scheme(),
                client.host_in_one_piece(),
            );
            (hop, whole)
        });
        let trusted = self.trust.trusts(&peer);
        let passes = trusted || self.strangers == Strangers::PassOn;
        let reads_forwarded = self.read == ClientHeader::Forwarded;
        let headers = request.headers_mut();

        let hop = peer.address().map(AddressText::new);
        let client_address = match client.address() {
            address if address == peer.address() => hop,
            address => address.map(AddressText::new),
        };
        let client_value = || client_address.as_ref().and_then(AddressText::value);
        // Clones of a value share its text.
        let mut known = None;
        let list = if passes && !reads_forwarded && self.forwarded_for != ForwardedFor::Replace {
            let hop = hop.as_ref().map_or("", AddressText::as_str);
            self.extended(headers, &self.list, &peer, hop)
        } else {
            let value = client_value();
            if self.writes_address() {
                known.clone_from(&value);
            }
            Written::Instead(value)
        };
        let forwarded = element.map(|(hop, whole)| {
            if passes && reads_forwarded && self.forwarded_for != ForwardedFor::Replace {
                self.extended(headers, &FORWARDED, &peer, &hop)
            } else {
                Written::Instead(HeaderValue::try_from(whole).ok())
            }
        });
        let port = self.outer_port(&peer, headers, &client);

        // What is about to be overwritten is not worth a removal of its own.
        let ours = |name: &HeaderName| {
            *name == self.list
                || (forwarded.is_some() && *name == FORWARDED)
                || self.owned().any(|(_, owned)| owned == name)
        };
        remove_all(headers, |name| {
            let doomed = if passes {
                self.is_disguised(name) || self.is_other_family(name)
            } else {
                self.is_claim(name.as_str().as_bytes())
            };
            doomed && !ours(name)
        });

        // One growth of the map, not one for every few headers.
        let _full = headers.try_reserve(WRITTEN);
        list.apply(headers, &self.list);
        if let Some(forwarded) = forwarded {
            forwarded.apply(headers, &FORWARDED);
        }
        for (header, name) in self.owned() {
            let value = match header {
                IdentityHeader::XForwardedProto => {
                    Some(HeaderValue::from_static(client.scheme().as_str()))
                }
                IdentityHeader::XForwardedHost => {
                    client.host_in_one_piece().and_then(|host| host.to_value())
                }
                IdentityHeader::XForwardedPort => port.and_then(port_value),
                IdentityHeader::XRealIp | IdentityHeader::XEnvoyExternalAddress => {
                    known.clone().or_else(client_value)
                }
            };
            set(headers, name, value);
        }
        request.extensions_mut().insert(client);
    }

    /// Takes identity fields out of `Connection`, whose names are removed on the way to the next hop: what is written
    /// here is not the client's to drop.
    fn stop_nominations(&self, headers: &mut HeaderMap) {
        if !headers.contains_key(CONNECTION) {
            return;
        }
        let options = || {
            let lines = headers.get_all(CONNECTION).into_iter();
            lines
                .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
                .map(<[u8]>::trim_ascii)
        };
        if !options().any(|option| self.is_claim(option)) {
            return;
        }
        let kept: Vec<_> = options().filter(|option| !self.is_claim(option)).collect();
        let kept = kept.join(&b", "[..]);
        let kept = HeaderValue::try_from(kept).ok();
        set(headers, &CONNECTION, kept.filter(|kept| !kept.is_empty()));
    }

    /// What becomes of a list that may be passed on.
    fn extended(&self, headers: &HeaderMap, name: &HeaderName, peer: &Peer, hop: &str) -> Written {
        let address = peer.address();
        if address.is_some_and(|address| self.left_out.iter().any(|out| out.contains(address))) {
            return Written::AsItIs;
        }
        let value = || {
            (!hop.is_empty())
                .then(|| HeaderValue::try_from(hop).ok())
                .flatten()
        };
        match self.forwarded_for {
            ForwardedFor::Append => Written::Instead(join_lines(headers, name, hop)),
            ForwardedFor::AppendLine => Written::Another(value()),
            ForwardedFor::IfNone if !headers.contains_key(name) => Written::Another(value()),
            ForwardedFor::IfNone | ForwardedFor::Keep | ForwardedFor::Replace => Written::AsItIs,
        }
    }

    /// The headers that are switched on.
    fn owned(&self) -> impl Iterator<Item = (IdentityHeader, &'static HeaderName)> {
        let all: [(IdentityHeader, &'static HeaderName); 5] = [
            (IdentityHeader::XForwardedProto, &X_FORWARDED_PROTO),
            (IdentityHeader::XForwardedHost, &X_FORWARDED_HOST),
            (IdentityHeader::XForwardedPort, &X_FORWARDED_PORT),
            (IdentityHeader::XRealIp, &X_REAL_IP),
            (
                IdentityHeader::XEnvoyExternalAddress,
                &X_ENVOY_EXTERNAL_ADDRESS,
            ),
        ];
        all.into_iter()
            .filter(|(header, _)| self.written[*header as usize])
    }

    /// Whether the address of the client stands in more than the list.
    const fn writes_address(&self) -> bool {
        self.written[IdentityHeader::XRealIp as usize]
            || self.written[IdentityHeader::XEnvoyExternalAddress as usize]
    }

    /// The port that the client connected to.
    fn outer_port(&self, peer: &Peer, headers: &HeaderMap, client: &Client) -> Option<u16> {
        let is_read = self.trust.trusts(peer) && self.read != ClientHeader::Forwarded;
        let received = is_read
            .then(|| last_element(headers, &X_FORWARDED_PORT).and_then(port_number))
            .flatten();
        received.or_else(|| peer.local_port().filter(|_| !client.is_behind_another()))
    }

    /// Whether the field says who the client is, to the servers behind or to us.
    fn is_claim(&self, name: &[u8]) -> bool {
        is_identity(name) || self.names_of_our_own().any(|own| is_alike(name, own))
    }

    /// The same, spelled so that a plain comparison misses it.
    fn is_disguised(&self, name: &HeaderName) -> bool {
        let mut own = self.names_of_our_own();
        let is_own = self.names_of_our_own().any(|own| own == name);
        let bytes = name.as_str().as_bytes();
        !is_own && (is_disguised(name) || own.any(|own| is_alike(bytes, own)))
    }

    /// What a trusted peer may have let through from its client, since it speaks in the other header.
    fn is_other_family(&self, name: &HeaderName) -> bool {
        if self.read == ClientHeader::Forwarded {
            [
                &X_FORWARDED_FOR,
                &X_FORWARDED_PROTO,
                &X_FORWARDED_HOST,
                &X_FORWARDED_PORT,
            ]
            .contains(&name)
        } else {
            *name == FORWARDED
        }
    }

    /// Names that the settings make identity fields.
    fn names_of_our_own(&self) -> impl Iterator<Item = &HeaderName> {
        let read = match &self.read {
            ClientHeader::Named(name) => Some(name),
            ClientHeader::XForwardedFor | ClientHeader::Forwarded => None,
        };
        read.into_iter().chain([&self.list])
    }
}

impl Written {
    fn apply(self, headers: &mut HeaderMap, name: &HeaderName) {
        match self {
            Self::AsItIs | Self::Another(None) => {}
            Self::Instead(value) => set(headers, name, value),
            Self::Another(Some(value)) => {
                // As in `set`: a map that is full has no line of ours, and none that could be taken for it.
                if headers.try_append(name, value).is_err() {
                    headers.remove(name);
                }
            }
        }
    }
}

/// One pass over the names whatever a client sends; the list is allocated only if there is something to remove.
fn remove_all(headers: &mut HeaderMap, doomed: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| doomed(name))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// `HeaderValue::from` would allocate twice.
fn port_value(port: u16) -> Option<HeaderValue> {
    let mut digits = *b"00000";
    let mut left = port;
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
    }
    let zeros = digits.iter().take(4).take_while(|digit| **digit == b'0');
    HeaderValue::from_bytes(&digits[zeros.count()..]).ok()
}

fn set(headers: &mut HeaderMap, name: &HeaderName, value: Option<HeaderValue>) {
    let Some(value) = value else {
        headers.remove(name);
        return;
    };
    // `insert` panics above 24,576 names. No server reads a head like that; if one did, nothing forged is left in it.
    if headers.try_insert(name, value).is_err() {
        headers.remove(name);
    }
}

/// How many headers are written at the most: the list, `Forwarded`, and those of [`IdentityHeader`].
const WRITTEN: usize = 7;

/// An address as text, on the stack.
#[derive(Clone, Copy)]
struct AddressText {
    bytes: [u8; Self::MAX],
    length: usize,
}

impl AddressText {
    /// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
    const MAX: usize = 45;

    fn new(address: IpAddr) -> Self {
        let mut text = Self {
            bytes: [0; Self::MAX],
            length: 0,
        };
        match address {
            IpAddr::V4(address) => text.write_dotted(address.octets()),
            // It fits, so this cannot fail.
            IpAddr::V6(address) => drop(write!(text, "{address}")),
        }
        text
    }

    /// What `Display` writes too, at a tenth of its instructions.
    fn write_dotted(&mut self, octets: [u8; 4]) {
        for octet in octets {
            for power in [100, 10, 1] {
                if octet >= power || power == 1 {
                    self.push(b'0' + octet / power % 10);
                }
            }
            self.push(b'.');
        }
        self.length -= 1;
    }

    const fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    fn value(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.bytes[..self.length]).ok()
    }
}

impl Write for AddressText {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let end = self.length + part.len();
        self.bytes
            .get_mut(self.length..end)
            .ok_or(std::fmt::Error)?
            .copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_is_written_as_it_is() {
        for port in 0..=u16::MAX {
            assert_eq!(port_value(port), Some(HeaderValue::from(port)));
        }
    }

    #[test]
    fn every_address_fits_on_the_stack() {
        for text in [
            "255.255.255.255",
            "0.0.0.0",
            "1.10.100.101",
            "99.200.9.20",
            "::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "::ffff:255.255.255.255",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(AddressText::new(address).as_str(), address.to_string());
        }
    }

    #[test]
    fn a_full_header_map_does_not_panic() {
        let mut headers = HeaderMap::new();
        for number in 0.. {
            let name: HeaderName = format!("n{number}").parse().unwrap();
            if headers
                .try_insert(name, HeaderValue::from_static(""))
                .is_err()
            {
                break;
            }
        }
        set(
            &mut headers,
            &X_REAL_IP,
            Some(HeaderValue::from_static("192.0.2.1")),
        );
        assert!(!headers.contains_key(&X_REAL_IP));
        remove_all(&mut headers, |_| true);
        assert!(headers.is_empty());
    }
}
