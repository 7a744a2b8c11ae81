//! What is known of the client.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Uri};

use crate::element::{self, Element};
use crate::host::Host;
use crate::names::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use crate::node::Node;
use crate::parse::{elements_from_right, last_element};
use crate::{Peer, Scheme, Trust};

/// Who sent the request, as far as it can be believed; in the extensions of every request that passes the
/// [`ForwardedLayer`](crate::ForwardedLayer) with a [`Peer`].
///
/// Nothing in it was decided by a peer that is not trusted, except the [host](Self::host), which every client names.
///
/// ```
/// use tightrope_forwarded::Client;
///
/// fn log_line<B>(request: &http::Request<B>) -> String {
///     match request.extensions().get::<Client>().and_then(Client::address) {
///         Some(address) => format!("{address} {}", request.uri()),
///         None => format!("- {}", request.uri()),
///     }
/// }
/// # assert_eq!(log_line(&http::Request::new(())), "- /");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    address: Option<IpAddr>,
    port: Option<u16>,
    scheme: Scheme,
    host: Option<Host>,
    evidence: Evidence,
    hops: usize,
    scheme_was_sent: bool,
}

/// What the address of a [`Client`] rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Evidence {
    /// The peer of the connection.
    Connection,
    /// The header of the PROXY protocol that the connection began with.
    ProxyProtocol,
    /// `X-Forwarded-For`, as a trusted peer sent it.
    XForwardedFor,
    /// `Forwarded`, as a trusted peer sent it.
    Forwarded,
    /// The header of [`ClientHeader::Named`], as a trusted peer sent it.
    Named,
}

/// In which header a trusted peer says who the client is. Only that one is believed.
///
/// A peer that maintains one of them may well pass on the other as a client sent it, so the two are never mixed:
///
/// | believed | address from | scheme and host from | removed, or written anew where written at all |
/// | --- | --- | --- | --- |
/// | `XForwardedFor` | `X-Forwarded-For` | `X-Forwarded-Proto`, `-Host` | `Forwarded` |
/// | `Named` | that header | `X-Forwarded-Proto`, `-Host` | `Forwarded` |
/// | `Forwarded` | `for` | `proto` and `host` of the same element | `X-Forwarded-For`, `-Proto`, `-Host` and `-Port` |
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientHeader {
    /// The default.
    #[default]
    XForwardedFor,
    /// `Forwarded`, RFC 7239. An element that does not follow the grammar, names nobody (`unknown`) or hides the
    /// address (`_name`) ends the walk, as no address does in the others. IPv6 has to be bracketed and quoted.
    Forwarded,
    /// A header of this name, read as `X-Forwarded-For` is; mostly one address, as in `X-Real-IP` or
    /// `CF-Connecting-IP`. From peers that are not trusted it is removed whatever its name.
    Named(HeaderName),
}

impl Client {
    /// Walks from the connection towards the client for as long as what says so is trusted.
    ///
    /// Allocates nothing, except for a `Forwarded` that escapes characters or names a host.
    pub(crate) fn resolve(
        trust: &Trust,
        read: &ClientHeader,
        peer: &Peer,
        headers: &HeaderMap,
        target: &Uri,
    ) -> Self {
        let mut client = Self {
            address: peer.address(),
            port: peer.socket_addr().map(|socket| socket.port()),
            scheme: peer.scheme(),
            host: None,
            evidence: peer.evidence(),
            hops: 0,
            scheme_was_sent: false,
        };
        if trust.trusts(peer) {
            let list = |name| elements_from_right(headers, name).map(address_alone);
            match read {
                ClientHeader::XForwardedFor => {
                    client.walk(trust, Evidence::XForwardedFor, list(&X_FORWARDED_FOR));
                    client.read_fields(headers);
                }
                ClientHeader::Named(name) => {
                    client.walk(trust, Evidence::Named, list(name));
                    client.read_fields(headers);
                }
                ClientHeader::Forwarded => {
                    let elements = element::elements_from_right(headers);
                    client.walk(trust, Evidence::Forwarded, elements);
                }
            }
        }
        client.host = client.host.or_else(|| Host::of_request(headers, target));
        client
    }

    /// The address, IPv4-mapped IPv6 as IPv4. `None` when the peer is on a Unix socket and named nobody.
    ///
    /// When all hops are trusted it is the leftmost one; when the walk met something that is no address, it is the
    /// last hop before that.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The client's port: that of the connection, or what the header said that named the client, which is mostly none.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// What the client spoke: as a trusted peer says, see [`ClientHeader`], else the scheme of the listener.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, and perhaps the port, that the client asked for: as a trusted peer says, see [`ClientHeader`], else the
    /// authority of the target, else the `Host` field. `None` if that is missing, repeated or not a valid host.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_ref().map(Host::as_str)
    }

    /// What the address rests on.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// How many entries from the right of the header the address stands in; 0 when it is that of the connection.
    #[must_use]
    pub fn hops(&self) -> usize {
        self.hops
    }

    pub(crate) fn host_in_one_piece(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// Whether the client spoke to another listener than ours, as far as we were told.
    pub(crate) fn is_behind_another(&self) -> bool {
        self.scheme_was_sent
    }

    /// From the right to the first address that is not trusted; stops before what is no address.
    ///
    /// An element was written by the hop before it, which is trusted, so its scheme and host count even if it
    /// names nobody.
    fn walk<'a>(
        &mut self,
        trust: &Trust,
        evidence: Evidence,
        elements: impl Iterator<Item = Option<Element<'a>>>,
    ) {
        let (unseen, followed) = trust.entries();
        let mut told = Element::default();
        for (number, element) in (1..).zip(elements).skip(unseen).take(followed) {
            let Some(element) = element else {
                break;
            };
            let node = element.node;
            told = element;
            let Some(node) = node else {
                break;
            };
            self.address = Some(node.address);
            self.port = node.port;
            self.evidence = evidence;
            self.hops = number;
            if !trust.contains(node.address) {
                break;
            }
        }
        self.scheme_was_sent = told.scheme.is_some();
        self.scheme = told.scheme.unwrap_or(self.scheme);
        self.host = told.host.and_then(|host| Host::of_bytes(&host));
    }

    /// What has a field of its own beside `X-Forwarded-For`: the last element was written by the nearest proxy.
    fn read_fields(&mut self, headers: &HeaderMap) {
        let scheme = last_element(headers, &X_FORWARDED_PROTO).and_then(Scheme::parse);
        self.scheme_was_sent = scheme.is_some();
        self.scheme = scheme.unwrap_or(self.scheme);
        self.host = Host::forwarded(headers);
    }
}

/// An entry of a list that holds nothing but addresses.
fn address_alone(entry: &[u8]) -> Option<Element<'_>> {
    Node::parse(entry).map(|node| Element {
        node: Some(node),
        ..Element::default()
    })
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;
    use http::HeaderValue;

    use super::*;

    #[test]
    fn resolving_allocates_nothing() {
        let trust = Trust::networks(["10.0.0.0/8".parse().unwrap()]);
        let peer = Peer::tcp("10.0.0.2:40000".parse().unwrap());
        let hops = format!(
            "203.0.113.7:5060{}, [::ffff:10.0.0.9]:80",
            ", 10.0.0.1".repeat(500)
        );
        let mut headers = HeaderMap::new();
        headers.append(&X_FORWARDED_FOR, hops.parse().unwrap());
        headers.append(
            &X_FORWARDED_FOR,
            HeaderValue::from_static("10.0.0.3, , 10.0.0.4:80"),
        );
        headers.append(&X_FORWARDED_PROTO, HeaderValue::from_static("http, https"));
        for target in [Uri::from_static("/"), Uri::from_static("http://app.test/")] {
            headers.insert("host", HeaderValue::from_static("app.test"));
            let mut client = None;
            let read = ClientHeader::XForwardedFor;
            let counted = measure(|| {
                client = Some(Client::resolve(&trust, &read, &peer, &headers, &target));
            });
            assert_eq!(counted.count_total, 0);
            let client = client.unwrap();
            assert_eq!(client.address(), Some("203.0.113.7".parse().unwrap()));
            assert_eq!(client.host(), Some("app.test"));
            assert_eq!(client.hops(), 504);
        }
    }

    #[test]
    fn reading_forwarded_allocates_nothing() {
        let trust = Trust::networks(["10.0.0.0/8".parse().unwrap()]);
        let peer = Peer::tcp("10.0.0.2:40000".parse().unwrap());
        let mut headers = HeaderMap::new();
        let hops = ", for=\"10.0.0.1:80\";proto=http".repeat(500);
        let line = format!("for=\"[2001:db8::7]:5060\";proto=https{hops}");
        headers.append("forwarded", line.parse().unwrap());
        let mut client = None;
        let counted = measure(|| {
            let read = ClientHeader::Forwarded;
            let target = Uri::from_static("/");
            client = Some(Client::resolve(&trust, &read, &peer, &headers, &target));
        });
        assert_eq!(counted.count_total, 0);
        let client = client.unwrap();
        assert_eq!(client.address(), Some("2001:db8::7".parse().unwrap()));
        assert_eq!((client.port(), client.hops()), (Some(5060), 501));
        assert_eq!(client.scheme(), Scheme::Https);
        assert_eq!(client.evidence(), Evidence::Forwarded);
    }
}
