//! What is known of a request besides its head.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue, Request, Uri, header::HOST, uri::Scheme};

use crate::host;

/// What the layers of [`rewrite`](crate::rewrite) cannot read from the head of a request; put into its
/// extensions by whoever knows it, in front of them.
///
/// `tightrope-forwarded` knows most of it: its `Client` has the address, the scheme and the host.
///
/// ```
/// use http::uri::Scheme;
/// use tightrope_proxy::rewrite::Facts;
///
/// let facts = Facts::new()
///     .with_client_ip("203.0.113.7".parse()?)
///     .with_scheme(Scheme::HTTPS);
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(facts);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Facts {
    client_ip: Option<IpAddr>,
    peer_addr: Option<SocketAddr>,
    scheme: Option<Scheme>,
    host: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
}

/// A request as templates and layers see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) target: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    facts: Option<&'a Facts>,
}

// === impl Facts ===

impl Facts {
    /// Nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// The address of the client. Default: not known.
    pub fn with_client_ip(mut self, address: IpAddr) -> Self {
        self.client_ip = Some(address);
        self
    }

    /// The other end of the connection. Default: not known.
    pub fn with_peer_addr(mut self, address: SocketAddr) -> Self {
        self.peer_addr = Some(address);
        self
    }

    /// What the client speaks. Default: the scheme of an absolute target, else not known.
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// The host that the client asked for. Default: that of an absolute target, else the `Host` field.
    pub fn with_host(mut self, host: HeaderValue) -> Self {
        self.host = Some(host);
        self
    }

    /// What the request is called in logs. Default: not known.
    pub fn with_request_id(mut self, id: HeaderValue) -> Self {
        self.request_id = Some(id);
        self
    }
}

// === impl Subject ===

impl<'a> Subject<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            target: request.uri(),
            headers: request.headers(),
            facts: request.extensions().get(),
        }
    }

    pub(crate) fn client_ip(&self) -> Option<IpAddr> {
        self.facts?.client_ip
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.facts?.peer_addr
    }

    pub(crate) fn request_id(&self) -> Option<&'a HeaderValue> {
        self.facts?.request_id.as_ref()
    }

    pub(crate) fn scheme(&self) -> Option<&'a Scheme> {
        let told = self.facts.and_then(|facts| facts.scheme.as_ref());
        told.or_else(|| self.target.scheme())
    }

    /// The host and perhaps the port, where it is a valid one.
    pub(crate) fn host(&self) -> Option<&'a str> {
        let told = self.facts.and_then(|facts| facts.host.as_ref());
        let host = match (told, self.target.authority()) {
            (Some(host), _) => host.to_str().ok()?,
            // RFC 9112 §3.2.2: the authority of an absolute target goes before the Host field.
            (None, Some(authority)) => authority.as_str(),
            (None, None) => self.headers.get(HOST)?.to_str().ok()?,
        };
        host::is_host_and_port(host.as_bytes()).then_some(host)
    }
}
