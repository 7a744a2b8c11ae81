//! What is spoken with endpoints.

/// Which version of HTTP is spoken with endpoints.
///
/// With HTTP/2 many requests share a connection, up to 100 or as many as the endpoint allows; another is made when
/// they are not enough. A WebSocket has a connection of HTTP/1.1 of its own in any case, as browsers do it.
///
/// HTTP/1.1 is the cheaper for requests that are short and many: there is no task between, and nothing to
/// wait for each other. Choose HTTP/2 for gRPC, which needs it, and where each connection is dear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.1. The default.
    #[default]
    Http1,
    /// HTTP/2, by prior knowledge (RFC 9113 §3.3) in clear text, and offered alone within TLS.
    Http2,
    /// What the endpoint chooses within TLS, HTTP/2 if it can. HTTP/1.1 in clear text, where nothing is agreed on.
    Negotiated,
}

#[cfg(feature = "tls")]
impl Protocol {
    pub(crate) const ALPN_HTTP2: &'static [u8] = b"h2";
    const ALPN_HTTP1: &'static [u8] = b"http/1.1";

    /// What is offered by ALPN (RFC 7301).
    pub(crate) fn offered(self) -> Vec<Vec<u8>> {
        let offered: &[&[u8]] = match self {
            Self::Http1 => &[Self::ALPN_HTTP1],
            Self::Http2 => &[Self::ALPN_HTTP2],
            Self::Negotiated => &[Self::ALPN_HTTP2, Self::ALPN_HTTP1],
        };
        offered.iter().map(|name| name.to_vec()).collect()
    }
}
