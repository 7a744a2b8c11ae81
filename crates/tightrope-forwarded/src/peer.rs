//! The facts of the connection that a request came in on.

use std::net::{IpAddr, SocketAddr};

use crate::Evidence;
use crate::proxy_protocol::Header;

/// Who is at the other end of the connection; put into the extensions of every request by the accept loop.
///
/// This is what the layer goes by. A request without it is one that nothing is known about.
///
/// With axum the address is there already, as `ConnectInfo`. Turn it into a `Peer` before this crate's layer:
///
/// ```
/// use std::net::SocketAddr;
///
/// use axum::Router;
/// use axum::extract::{ConnectInfo, Request};
/// use axum::routing::get;
/// use tightrope_forwarded::{Client, ForwardedLayer, Peer, Trust};
/// use tower::ServiceBuilder;
///
/// fn peer(mut request: Request) -> Request {
///     if let Some(ConnectInfo(address)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() {
///         request.extensions_mut().insert(Peer::tcp(address));
///     }
///     request
/// }
///
/// async fn who(request: Request) -> String {
///     let client = request.extensions().get::<Client>().and_then(Client::address);
///     client.map_or("unknown".to_owned(), |address| address.to_string())
/// }
///
/// let stack = ServiceBuilder::new().map_request(peer).layer(ForwardedLayer::new(Trust::nobody()));
/// let app = Router::new().route("/", get(who)).layer(stack);
/// let make_service = app.into_make_service_with_connect_info::<SocketAddr>();
/// # let _ = make_service;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    socket: Option<SocketAddr>,
    scheme: Scheme,
    local_address: Option<IpAddr>,
    local_port: Option<u16>,
    evidence: Evidence,
}

impl Peer {
    /// A peer on a TCP (or QUIC) connection to a plain `http` listener of unknown port.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            socket: Some(address),
            scheme: Scheme::Http,
            local_address: None,
            local_port: None,
            evidence: Evidence::Connection,
        }
    }

    /// A peer on a Unix socket, which has no address.
    #[must_use]
    pub fn unix() -> Self {
        Self {
            socket: None,
            scheme: Scheme::Http,
            local_address: None,
            local_port: None,
            evidence: Evidence::Connection,
        }
    }

    /// The scheme that the listener speaks. Default: [`Scheme::Http`].
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    /// The port that the listener is bound to, which is what `X-Forwarded-Port` says. Default: not known.
    #[must_use]
    pub fn with_local_port(mut self, port: u16) -> Self {
        self.local_port = Some(port);
        self
    }

    /// The address and port that the connection came in on, which a PROXY header to an endpoint says. Default: not known.
    #[must_use]
    pub fn with_local_addr(mut self, address: SocketAddr) -> Self {
        self.local_address = Some(address.ip());
        self.local_port = Some(address.port());
        self
    }

    /// The peer that `header` names, which is behind this one: its address, and as the local address the one that it
    /// connected to. This one itself if the header names nobody.
    ///
    /// Only for a header that was read from this connection, and from a peer that may send one; with the feature
    /// `tokio` a [`Receiver`](crate::proxy_protocol) sees to both. Whether the headers of the request are believed
    /// is then decided by the address of the peer that is named.
    #[must_use]
    pub fn with_proxy_header(mut self, header: &Header) -> Self {
        if let (Some(source), Some(destination)) = (header.source(), header.destination()) {
            self.socket = Some(source);
            self.evidence = Evidence::ProxyProtocol;
            return self.with_local_addr(destination);
        }
        self
    }

    /// The address without its port; IPv4-mapped IPv6 as IPv4. `None` for a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.socket.map(|socket| socket.ip().to_canonical())
    }

    /// The address as the socket or the PROXY header gave it. `None` for a Unix socket.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        self.socket
    }

    /// The scheme that the listener speaks.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The port that the listener is bound to, or that the client of the PROXY header connected to, if it is known.
    #[must_use]
    pub fn local_port(&self) -> Option<u16> {
        self.local_port
    }

    /// The address and port that the connection came in on, or that the client of the PROXY header connected to, if
    /// both are known.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        let address = self.local_address?;
        Some(SocketAddr::new(address, self.local_port?))
    }

    /// What the address rests on: [`Evidence::Connection`] or [`Evidence::ProxyProtocol`].
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }
}

/// What the client spoke: with TLS or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URI and in `X-Forwarded-Proto`: `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Reads a value of `X-Forwarded-Proto`, in any case. Some proxies say `ws` and `wss` of WebSockets.
    pub(crate) fn parse(token: &[u8]) -> Option<Self> {
        let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
        if is("http") || is("ws") {
            Some(Self::Http)
        } else if is("https") || is("wss") {
            Some(Self::Https)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::Version;

    #[test]
    fn a_mapped_address_is_reported_as_ipv4_and_kept_as_it_was() {
        let socket: SocketAddr = "[::ffff:192.0.2.1]:40000".parse().unwrap();
        let peer = Peer::tcp(socket);
        assert_eq!(peer.address(), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(peer.socket_addr(), Some(socket));
    }

    #[test]
    fn a_proxy_header_names_another_peer_or_leaves_this_one() {
        let peer = Peer::tcp("10.0.0.2:40000".parse().unwrap()).with_local_port(8080);
        let source: SocketAddr = "203.0.113.7:56324".parse().unwrap();
        let header = Header::new(Version::V2, source, "192.0.2.1:443".parse().unwrap());
        let client = peer.with_proxy_header(&header);
        assert_eq!(client.socket_addr(), Some(source));
        assert_eq!(client.local_port(), Some(443));
        assert_eq!(client.local_addr(), Some("192.0.2.1:443".parse().unwrap()));
        assert_eq!(peer.local_addr(), None);
        assert_eq!(client.evidence(), Evidence::ProxyProtocol);
        for header in [Header::local(), Header::unknown(Version::V1)] {
            assert_eq!(peer.with_proxy_header(&header), peer);
        }
        assert_eq!(peer.evidence(), Evidence::Connection);
    }

    #[test]
    fn schemes_are_read_in_any_case_and_nothing_else_is() {
        for (token, scheme) in [
            ("http", Scheme::Http),
            ("HTTPS", Scheme::Https),
            ("ws", Scheme::Http),
            ("Wss", Scheme::Https),
        ] {
            assert_eq!(Scheme::parse(token.as_bytes()), Some(scheme));
        }
        for token in ["", "ftp", "https ", "httpss", "on", "1"] {
            assert_eq!(Scheme::parse(token.as_bytes()), None, "{token}");
        }
    }
}
