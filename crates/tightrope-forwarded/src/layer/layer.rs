//! The settings, and how a service is wrapped in them.

use std::sync::Arc;

use http::HeaderName;
use tower_layer::Layer;

use super::Forwarded;
use crate::rewrite::Rewrite;
use crate::{Cidr, ClientHeader, ForwardedElement, ForwardedFor, IdentityHeader, Strangers, Trust};

/// Resolves the [`Client`](crate::Client) of each request and writes the identity headers for the servers behind.
///
/// Put it first in the stack and only once, right behind what provides the [`Peer`](crate::Peer).
///
/// | identity header | peer is trusted | peer is not trusted |
/// | --- | --- | --- |
/// | `X-Forwarded-For` | extended or replaced, see [`ForwardedFor`] | overwritten with the peer's address |
/// | the switchable ones that are on | kept where valid, else written from the connection; `X-Real-IP` always written | written from the connection |
/// | `Forwarded` | written [if asked for](Self::with_forwarded); passed on if it is what is [believed](ClientHeader), else removed | the same from the connection, else removed |
/// | those that are off, and all others | passed on | removed |
/// | any of them in disguise: `X_Forwarded_For`, `X.Real.IP` | removed | removed |
///
/// The others are everything that starts with `X-Forwarded-` or `X-Original-`, and `Client-IP`,
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
/// `Connection: X-Forwarded-For` asks the next hop-by-hop step to remove what was written here: identity fields are
/// taken out of `Connection`.
///
/// # As another server does
///
/// These settings give the values of recorded requests to nginx 1.22, HAProxy 2.6 and Envoy 1.40, all of which pass
/// on what strangers send. Where the servers behind do not rely on that, leave out the
/// [`Strangers::PassOn`].
///
/// ```
/// use http::HeaderName;
/// use tightrope_forwarded::{
///     Cidr, ClientHeader, ForwardedFor, ForwardedLayer, IdentityHeader, Strangers, Trust,
/// };
/// # let internal: Cidr = "10.0.0.0/8".parse()?;
///
/// // nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; X-Real-IP $remote_addr;
/// //        X-Forwarded-Proto $scheme;
/// let nginx = ForwardedLayer::new(Trust::nobody())
///     .with_strangers(Strangers::PassOn)
///     .with_header(IdentityHeader::XRealIp)
///     .without_header(IdentityHeader::XForwardedHost);
/// // nginx: set_real_ip_from 10.0.0.0/8; real_ip_header X-Real-IP; real_ip_recursive off (on: Trust::networks)
/// let nginx_realip = ForwardedLayer::new(Trust::nearest([internal]))
///     .with_client_header(ClientHeader::Named(HeaderName::from_static("x-real-ip")))
///     .with_strangers(Strangers::PassOn);
///
/// // HAProxy: option forwardfor except 10.0.0.0/8 header X-Client-IP      (if-none: ForwardedFor::IfNone)
/// let haproxy = ForwardedLayer::new(Trust::nobody())
///     .with_strangers(Strangers::PassOn)
///     .with_forwarded_for(ForwardedFor::AppendLine)
///     .with_forwarded_for_name(HeaderName::from_static("x-client-ip"))
///     .without_appending([internal])
///     .without_header(IdentityHeader::XForwardedProto)
///     .without_header(IdentityHeader::XForwardedHost);
///
/// // Envoy: use_remote_address: true, xff_num_trusted_hops: 2        (skip_xff_append: ForwardedFor::Keep)
/// let envoy = ForwardedLayer::new(Trust::hops(2))
///     .with_strangers(Strangers::PassOn)
///     .with_header(IdentityHeader::XEnvoyExternalAddress)
///     .without_header(IdentityHeader::XForwardedHost);
/// // Envoy: use_remote_address: false, xff_num_trusted_hops: 2
/// let envoy_inside = ForwardedLayer::new(Trust::hops(3))
///     .with_forwarded_for(ForwardedFor::Keep)
///     .without_header(IdentityHeader::XForwardedHost);
/// # let _ = (nginx, nginx_realip, haproxy, envoy, envoy_inside);
/// # Ok::<(), tightrope_forwarded::CidrError>(())
/// ```
///
/// What differs on purpose:
///
/// | theirs | ours | because |
/// | --- | --- | --- |
/// | nginx appends the client that realip found | the peer | the list says who was on the way; the client is in it already |
/// | nginx reads a space as a separator, `01.02.03.04`, `1..2.3`, not `255.255.255.255`, and of a line `,1.2.3.4` nothing | strictly what the RFCs say | servers must not read one list in two ways |
/// | nginx stops at an empty line | skips it | empty elements mean nothing, RFC 9110 §5.6.1.2 |
/// | nginx and Envoy write the listener's scheme, or what they got as it stands | the trusted peer's, in small letters, `ws` as `http` | what is written is what [`Client`](crate::Client) says |
/// | nginx and HAProxy write `::ffff:192.0.2.1` | `192.0.2.1` | one client has one name on every listener |
/// | Envoy joins with `,` | with `, ` | as nginx; it means the same |
/// | Envoy takes the peer where an entry has a port or brackets | the address in it | it is one |
/// | HAProxy and Envoy pass `X_Forwarded_For` on | removed | some servers read it as `X-Forwarded-For` |
/// | all pass `Forwarded` on | removed, or written anew, unless it is what is believed | see [`ClientHeader`] |
/// | `Host` is rewritten or defaulted | left alone | that is the forwarding service's to decide |
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

    /// The name of the list of hops that is written, if not `X-Forwarded-For`: `option forwardfor header` of HAProxy.
    /// `X-Forwarded-For` is then like any header that is off. Which one is read is said by [`ClientHeader`].
    pub fn with_forwarded_for_name(mut self, name: HeaderName) -> Self {
        self.rewrite.list = name;
        self
    }

    /// Does not append peers in these networks: `option forwardfor except` of HAProxy. Default: none.
    ///
    /// For load balancers of ours that append the client themselves. Where the list is overwritten or replaced, so
    /// is theirs.
    pub fn without_appending(mut self, networks: impl IntoIterator<Item = Cidr>) -> Self {
        self.rewrite.left_out = networks.into_iter().collect();
        self
    }

    /// Where a trusted peer says who the client is. Default: [`ClientHeader::XForwardedFor`].
    pub fn with_client_header(mut self, header: ClientHeader) -> Self {
        self.rewrite.read = header;
        self
    }

    /// What becomes of the headers of peers that are not trusted. Default: [`Strangers::Overwrite`].
    pub fn with_strangers(mut self, strangers: Strangers) -> Self {
        self.rewrite.strangers = strangers;
        self
    }

    /// Writes `Forwarded` (RFC 7239) too. Default: it is not written.
    ///
    /// If `Forwarded` is what is [believed](ClientHeader) and the peer is trusted, an element for the peer is
    /// appended as [`ForwardedFor`] says; else the one element is about the [`Client`](crate::Client).
    pub fn with_forwarded(mut self, element: ForwardedElement) -> Self {
        self.rewrite.element = Some(Arc::new(element));
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
        Forwarded::new(inner, Arc::new(self.rewrite.clone()))
    }
}
