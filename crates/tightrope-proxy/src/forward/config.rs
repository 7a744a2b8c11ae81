//! How requests are forwarded.

use std::time::Duration;

use http::{HeaderValue, Version};

#[cfg(feature = "tls")]
use crate::ClientTls;
use crate::{HostPolicy, MinRate, Protocol, Underscores, Upgrades};

/// How [`Forward`](crate::Forward) forwards: timeouts, the pool, and what endpoints are told.
///
/// Each timeout measures one wait of its own, so none of them limits how long a transfer that makes
/// progress may take; a [`MinRate`] says how much progress that is. A timeout of zero is over at once; [`Duration::MAX`] is never over.
///
/// ```
/// use std::time::Duration;
/// use tightrope_proxy::{ForwardConfig, HostPolicy};
///
/// let config = ForwardConfig::new()
///     .with_head_timeout(Duration::from_secs(5))
///     .with_host(HostPolicy::Endpoint);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[must_use = "a configuration does nothing until it is given to a `Forward`"]
pub struct ForwardConfig {
    pub(crate) connect_timeout: Duration,
    pub(crate) head_timeout: Duration,
    pub(crate) body_idle_timeout: Duration,
    pub(crate) request_idle_timeout: Duration,
    pub(crate) min_request_rate: Option<MinRate>,
    pub(crate) min_response_rate: Option<MinRate>,
    pub(crate) tunnel_idle_timeout: Duration,
    pub(crate) pool_idle_timeout: Duration,
    pub(crate) pool_max_idle: usize,
    pub(crate) pool_max_age: Duration,
    pub(crate) pool_max_connections: usize,
    pub(crate) protocol: Protocol,
    pub(crate) host: HostPolicy,
    pub(crate) via: Option<Pseudonym>,
    pub(crate) upgrades: Upgrades,
    pub(crate) underscores: Underscores,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<ClientTls>,
}

/// The name of this proxy in `Via` fields: a token, as in RFC 9110 §7.6.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pseudonym {
    http_10: HeaderValue,
    http_11: HeaderValue,
    http_2: HeaderValue,
}

/// A text that is not a [`Pseudonym`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a pseudonym: letters, digits, `-`, `.` and `_`")]
pub struct PseudonymError {
    text: String,
}

// === impl ForwardConfig ===

impl ForwardConfig {
    /// The defaults, which are named at each setting.
    pub const fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            head_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(30),
            request_idle_timeout: Duration::from_secs(30),
            min_request_rate: None,
            min_response_rate: None,
            tunnel_idle_timeout: Duration::MAX,
            pool_idle_timeout: Duration::from_secs(30),
            pool_max_idle: 128,
            pool_max_age: Duration::MAX,
            pool_max_connections: usize::MAX,
            protocol: Protocol::Http1,
            host: HostPolicy::Keep,
            via: Some(Pseudonym::TIGHTROPE),
            upgrades: Upgrades::WebSocket,
            underscores: Underscores::Drop,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// How long a connection may take to be made, the look-up of a name, the handshake of TLS and
    /// the settings of an endpoint of HTTP/2 included, and how long a request waits for one to come free where there are
    /// [as many as there may be](Self::with_max_connections_per_endpoint). Default 1 s: one lost packet is made good for within it on most networks, and
    /// another endpoint is near.
    pub const fn with_connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long an endpoint may take to answer with a response head, or to take more of the
    /// request body. Default 30 s. Time in which the client is waited for does not count.
    pub const fn with_head_timeout(mut self, limit: Duration) -> Self {
        self.head_timeout = limit;
        self
    }

    /// How long an endpoint may send nothing within a response body. Default 30 s. Raise it for
    /// streams of rare events.
    pub const fn with_body_idle_timeout(mut self, limit: Duration) -> Self {
        self.body_idle_timeout = limit;
        self
    }

    /// How long a client may send nothing within a request body. Default 30 s.
    pub const fn with_request_body_idle_timeout(mut self, limit: Duration) -> Self {
        self.request_idle_timeout = limit;
        self
    }

    /// How slowly a client may send a request body: one that is slower is ended as one that stalls,
    /// with a 408. Default `None`, since a body may be a stream, such as that of a gRPC call, in which quiet
    /// is no fault; 240 bytes a second suit servers that take forms and files from anybody.
    pub const fn with_min_request_rate(mut self, rate: Option<MinRate>) -> Self {
        self.min_request_rate = rate;
        self
    }

    /// How slowly an endpoint may send a response body. Default `None`: endpoints are the operator's
    /// own, and event streams are slow on purpose.
    pub const fn with_min_response_rate(mut self, rate: Option<MinRate>) -> Self {
        self.min_response_rate = rate;
        self
    }

    /// How long nothing may pass through a tunnel in either direction: it ends after one to two
    /// times as long. Default [`Duration::MAX`], for ever; no other timeout applies to tunnels.
    pub const fn with_tunnel_idle_timeout(mut self, limit: Duration) -> Self {
        self.tunnel_idle_timeout = limit;
        self
    }

    /// How long a connection that carries nothing is kept for the next request. Default 30 s, which should be less than
    /// what the endpoints allow, so that it is not them who close. Zero keeps none.
    pub const fn with_pool_idle_timeout(mut self, limit: Duration) -> Self {
        self.pool_idle_timeout = limit;
        self
    }

    /// How old a connection may be that a request goes out on. Default [`Duration::MAX`], for ever. What it carries
    /// then ends as it would have. Set it where connections should spread anew over the servers behind an address.
    pub const fn with_pool_max_age(mut self, limit: Duration) -> Self {
        self.pool_max_age = limit;
        self
    }

    /// How many connections to one endpoint there may be, idle ones and tunnels included. Default [`usize::MAX`], no
    /// limit; 0 lets nothing through. One that the endpoint said it will close does not count.
    ///
    /// Requests wait for one to come free in the order in which they came, as long as a connection may take to be
    /// made; then they fail with [`Failure::Unavailable`](tightrope_upstream::Failure::Unavailable), which speaks
    /// against nobody. To limit requests is the better way where an endpoint can do only so much at a time:
    /// [`EndpointSpec::with_max_in_flight`](tightrope_upstream::EndpointSpec::with_max_in_flight), which a balancer
    /// knows of when it chooses.
    pub const fn with_max_connections_per_endpoint(mut self, count: usize) -> Self {
        self.pool_max_connections = count;
        self
    }

    /// Which version of HTTP is spoken with endpoints. Default [`Protocol::Http1`].
    pub const fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// How many idle connections are kept to one endpoint. Default 128; 0 keeps none. It does not
    /// limit how many are in use, and not those of HTTP/2.
    pub const fn with_max_idle_per_endpoint(mut self, count: usize) -> Self {
        self.pool_max_idle = count;
        self
    }

    /// Speaks TLS with all endpoints, after what a [`Preamble`](crate::Preamble) says. Default: none
    /// is spoken.
    #[cfg(feature = "tls")]
    pub fn with_tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Which `Host` endpoints see. Default [`HostPolicy::Keep`].
    pub fn with_host(mut self, host: HostPolicy) -> Self {
        self.host = host;
        self
    }

    /// The name under which this proxy appends itself to the `Via` of requests, or `None` to leave
    /// that out. Default `tightrope`.
    pub fn with_via(mut self, name: Option<Pseudonym>) -> Self {
        self.via = name;
        self
    }

    /// Which upgrades are passed on. Default [`Upgrades::WebSocket`].
    pub const fn with_upgrades(mut self, upgrades: Upgrades) -> Self {
        self.upgrades = upgrades;
        self
    }

    /// What becomes of header fields with an underscore in their name. Default
    /// [`Underscores::Drop`].
    pub const fn with_underscores(mut self, underscores: Underscores) -> Self {
        self.underscores = underscores;
        self
    }
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Pseudonym ===

impl Pseudonym {
    const TIGHTROPE: Self = Self {
        http_10: HeaderValue::from_static("1.0 tightrope"),
        http_11: HeaderValue::from_static("1.1 tightrope"),
        http_2: HeaderValue::from_static("2 tightrope"),
    };

    /// The name `text`.
    ///
    /// # Errors
    /// It is empty or has other characters than letters, digits, `-`, `.` and `_`.
    pub fn new(text: &str) -> Result<Self, PseudonymError> {
        let fail = || PseudonymError {
            text: text.to_owned(),
        };
        let holds = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if text.is_empty() || !text.bytes().all(holds) {
            return Err(fail());
        }
        let value = |version| HeaderValue::try_from(format!("{version} {text}"));
        Ok(Self {
            http_10: value("1.0").map_err(|_| fail())?,
            http_11: value("1.1").map_err(|_| fail())?,
            http_2: value("2").map_err(|_| fail())?,
        })
    }

    /// The entry for a request that was received in `version`.
    pub(crate) fn entry(&self, version: Version) -> HeaderValue {
        match version {
            Version::HTTP_2 => self.http_2.clone(),
            Version::HTTP_10 => self.http_10.clone(),
            _ => self.http_11.clone(),
        }
    }
}
