//! What is known of the client.

use std::net::IpAddr;

use http::{HeaderMap, Uri};

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
}

impl Client {
    /// Walks from the connection towards the client for as long as what says so is trusted. Allocates nothing.
    pub(crate) fn resolve(trust: &Trust, peer: &Peer, headers: &HeaderMap, target: &Uri) -> Self {
        let mut client = Self {
            address: peer.address(),
            port: peer.socket_addr().map(|socket| socket.port()),
            scheme: peer.scheme(),
            host: None,
            evidence: peer.evidence(),
        };
        if trust.trusts(peer) {
            client.walk(trust, headers);
            client.scheme = forwarded_scheme(headers).unwrap_or(client.scheme);
            client.host = Host::forwarded(headers);
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

    /// The client's port: that of the connection, or what `X-Forwarded-For` said, which mostly says none.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// What the client spoke: `X-Forwarded-Proto` of a trusted peer, else the scheme of the listener.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, and perhaps the port, that the client asked for: `X-Forwarded-Host` of a trusted peer, else the
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

    pub(crate) fn host_in_one_piece(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// From the right to the first address that is not trusted; stops before what is no address.
    fn walk(&mut self, trust: &Trust, headers: &HeaderMap) {
        for element in elements_from_right(headers, &X_FORWARDED_FOR) {
            let Some(node) = Node::parse(element) else {
                break;
            };
            self.address = Some(node.address);
            self.port = node.port;
            self.evidence = Evidence::XForwardedFor;
            if !trust.contains(node.address) {
                break;
            }
        }
    }
}

/// The scheme in the last element of `X-Forwarded-Proto`, if it is one.
pub(crate) fn forwarded_scheme(headers: &HeaderMap) -> Option<Scheme> {
    last_element(headers, &X_FORWARDED_PROTO).and_then(Scheme::parse)
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
            let counted =
                measure(|| client = Some(Client::resolve(&trust, &peer, &headers, &target)));
            assert_eq!(counted.count_total, 0);
            let client = client.unwrap();
            assert_eq!(client.address(), Some("203.0.113.7".parse().unwrap()));
            assert_eq!(client.host(), Some("app.test"));
        }
    }
}
