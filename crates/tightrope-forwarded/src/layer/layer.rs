//! The settings, and how a service is wrapped in them.

use tower_layer::Layer;

use super::Forwarded;
use crate::rewrite::Rewrite;
use crate::{ForwardedFor, IdentityHeader, Trust};

/// Resolves the [`Client`](crate::Client) of each request and writes the identity headers for the servers behind.
///
/// Put it first in the stack and only once, right behind what provides the [`Peer`](crate::Peer).
///
/// | identity header | peer is trusted | peer is not trusted |
/// | --- | --- | --- |
/// | `X-Forwarded-For` | extended or replaced, see [`ForwardedFor`] | overwritten with the peer's address |
/// | the switchable ones that are on | kept where valid, else written from the connection; `X-Real-IP` always written | written from the connection |
/// | those that are off, and all others | passed on | removed |
/// | any of them in disguise: `X_Forwarded_For`, `X.Real.IP` | removed | removed |
///
/// The others are `Forwarded`, everything that starts with `X-Forwarded-` or `X-Original-`, and `Client-IP`,
/// `CF-Connecting-IP`, `CF-Connecting-IPv6`, `DO-Connecting-IP`, `Fastly-Client-IP`, `Fly-Client-IP`,
/// `Forwarded-For`, `Front-End-Https`, `Proxy-Client-IP`, `True-Client-IP`, `WL-Proxy-Client-IP`,
/// `X-AppEngine-User-IP`, `X-Azure-ClientIP`, `X-Azure-SocketIP`, `X-Client-IP`, `X-Cluster-Client-IP`,
/// `X-Envoy-External-Address`, `X-Envoy-Internal`, `X-Forwarded`, `X-Host`, `X-HTTP-Host-Override`,
/// `X-Originating-IP`, `X-ProxyUser-IP`, `X-Real-IP`, `X-Remote-Addr`, `X-Remote-IP`, `X-Rewrite-URL`, `X-Scheme` and
/// `X-Url-Scheme`: each is taken for the word of a proxy by some framework, server or network.
///
/// A value is left out, and what was received under its name removed, when it is not known: without a
/// [`Peer`](crate::Peer) all of them, on a Unix socket the address. Without a `Peer` there is no
/// [`Client`](crate::Client) either.
///
/// Reading allocates nothing; writing allocates the values that are not there yet and, if a client sent headers
/// that have to go, a list of their names.
///
/// `Connection: X-Forwarded-For` asks the next hop-by-hop step to remove what was written here. The forwarding
/// service of `tightrope-proxy` does not fall for it; see that another one does not.
#[derive(Clone, Debug)]
#[must_use]
pub struct ForwardedLayer {
    rewrite: Rewrite,
}

impl ForwardedLayer {
    /// Believes these peers; appends to `X-Forwarded-For`, and writes `X-Forwarded-Proto` and `X-Forwarded-Host`.
    pub fn new(trust: Trust) -> Self {
        Self {
            rewrite: Rewrite::new(trust),
        }
    }

    /// What becomes of a trusted `X-Forwarded-For`. Default: [`ForwardedFor::Append`].
    pub fn with_forwarded_for(mut self, mode: ForwardedFor) -> Self {
        self.rewrite.forwarded_for = mode;
        self
    }

    /// Writes this header too.
    pub fn with_header(mut self, header: IdentityHeader) -> Self {
        self.rewrite.set_written(header, true);
        self
    }

    /// Does not write this header. It is still removed from peers that are not trusted.
    pub fn without_header(mut self, header: IdentityHeader) -> Self {
        self.rewrite.set_written(header, false);
        self
    }
}

impl<S> Layer<S> for ForwardedLayer {
    type Service = Forwarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Forwarded::new(inner, self.rewrite.clone())
    }
}
