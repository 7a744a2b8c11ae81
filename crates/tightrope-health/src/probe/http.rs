//! Is HTTP answered as it should be?

use std::{fmt, ops::RangeInclusive, pin::pin};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header, uri::PathAndQuery,
};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tightrope_upstream::{Address, Endpoint};

#[cfg(feature = "tls")]
use super::Tls;
use super::{
    ExpectedBody, Place, Probe, ProbeError, ProbeFuture,
    connect::Connect,
    message::{host, read},
};

/// Asks over HTTP/1.1, on a connection of its own for each probe, and looks at status and body.
///
/// Passes when the status is one of those expected (default: 200 to 299) and the body, where one is
/// expected, is right. The body is not read unless it matters; a head of more than 64 KiB fails. A
/// redirect is not followed.
///
/// An upstream whose members must answer `UP` at `/infra/health`, and leave after ten tries, ten
/// seconds apart, that they did not:
///
/// ```
/// use std::time::Duration;
/// use tightrope_health::{ExpectedBody, HealthCheck, HttpProbe};
/// use tightrope_upstream::{Health, Upstream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // New members get no traffic before they have answered once.
/// let upstream = Upstream::with_initial_health("shop", Health::Unhealthy);
/// let probe = HttpProbe::get("/infra/health")?.with_body(ExpectedBody::Exact("UP".into()))?;
/// let health = HealthCheck::new(&upstream, probe)
///     .with_interval(Duration::from_secs(10))?
///     .with_jitter(0.0)?
///     .with_fall(10)?
///     .spawn();
/// # drop(health);
/// # Ok(())
/// # }
/// ```
///
/// The same as a question before a rollout, that is over as soon as `UP` came:
///
/// ```
/// use std::time::Duration;
/// use tightrope_health::{HttpProbe, ProbeError, probe};
/// use tightrope_upstream::Endpoint;
///
/// async fn is_up(probe: &HttpProbe, endpoint: &Endpoint) -> Result<(), ProbeError> {
///     let mut tries = tokio::time::interval(Duration::from_secs(10));
///     for _ in 1..10 {
///         tries.tick().await;
///         if probe::check(probe, endpoint, Duration::from_secs(5)).await.is_ok() {
///             return Ok(());
///         }
///     }
///     tries.tick().await;
///     probe::check(probe, endpoint, Duration::from_secs(5)).await
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct HttpProbe {
    connect: Connect,
    method: Method,
    target: Uri,
    headers: HeaderMap,
    statuses: Vec<RangeInclusive<u16>>,
    body: Option<ExpectedBody>,
    body_limit: usize,
}

/// Why a setting of an [`HttpProbe`] was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpProbeError {
    /// It is not a path that can be asked for.
    #[error("`{path}` is not a path; expected /PATH or /PATH?QUERY")]
    Path {
        /// The path as it was given.
        path: String,
    },
    /// No status could be in it.
    #[error("`{statuses}` are not statuses; expected ranges from 100 to 999")]
    Statuses {
        /// The ranges as they were given.
        statuses: String,
    },
    /// An answer to HEAD has no body.
    #[error("the answer to HEAD has no body to expect anything of")]
    Body,
    /// It asks for a tunnel, not for an answer.
    #[error("method CONNECT is not a probe's to use")]
    Method,
    /// The connection and the length of the body are the probe's own affair.
    #[error("header `{name}` is not a probe's to set")]
    Header {
        /// Which.
        name: HeaderName,
    },
}

/// The body is read up to this many bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// An answer whose head has more bytes is none, and no more are read ahead of the body.
const HEAD_LIMIT: usize = 64 * 1024;

// === impl HttpProbe ===

impl HttpProbe {
    /// Asks for `path` with GET.
    ///
    /// # Errors
    /// `path` does not start with `/`, or has what a path and query cannot have.
    pub fn get(path: &str) -> Result<Self, HttpProbeError> {
        Self::new(Method::GET, path)
    }

    /// Asks for `path` with HEAD: the same answer without its body.
    ///
    /// # Errors
    /// `path` does not start with `/`, or has what a path and query cannot have.
    pub fn head(path: &str) -> Result<Self, HttpProbeError> {
        Self::new(Method::HEAD, path)
    }

    fn new(method: Method, path: &str) -> Result<Self, HttpProbeError> {
        // A fragment would parse, and be left out of what is asked for.
        let is_path = path.starts_with('/') && !path.contains('#');
        let target = is_path.then(|| PathAndQuery::try_from(path).ok()).flatten();
        let target = target.ok_or_else(|| HttpProbeError::Path {
            path: path.to_owned(),
        })?;
        let agent = HeaderValue::from_static("tightrope-health");
        Ok(Self {
            connect: Connect::new(),
            method,
            target: target.into(),
            headers: HeaderMap::from_iter([(header::USER_AGENT, agent)]),
            statuses: vec![200..=299],
            body: None,
            body_limit: BODY_LIMIT,
        })
    }

    /// Asks with this method, and without a body. Default: as the constructor says.
    ///
    /// # Errors
    /// It is CONNECT, or it is HEAD and a body is expected.
    pub fn with_method(mut self, method: Method) -> Result<Self, HttpProbeError> {
        if method == Method::CONNECT {
            return Err(HttpProbeError::Method);
        }
        self.method = method;
        self.checked()
    }

    /// Asks there. Default: at the endpoint's address.
    pub fn with_place(mut self, place: Place) -> Self {
        self.connect.place = place;
        self
    }

    /// Asks over HTTPS: speaks TLS with whom it connects to. Default: not.
    #[cfg(feature = "tls")]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.connect.tls = Some(tls.offering(b"http/1.1"));
        self
    }

    /// Expects a status in one of these ranges, and in no other. Default: 200 to 299.
    ///
    /// # Errors
    /// There is no range, or one that is empty or not within 100 to 999.
    pub fn with_statuses(
        mut self,
        statuses: impl IntoIterator<Item = RangeInclusive<u16>>,
    ) -> Result<Self, HttpProbeError> {
        self.statuses = statuses.into_iter().collect();
        let is_range = |range: &RangeInclusive<u16>| {
            !range.is_empty() && *range.start() >= 100 && *range.end() <= 999
        };
        if !self.statuses.is_empty() && self.statuses.iter().all(is_range) {
            Ok(self)
        } else {
            Err(HttpProbeError::Statuses {
                statuses: Ranges(&self.statuses).to_string(),
            })
        }
    }

    /// Expects this body. Default: any, unread.
    ///
    /// # Errors
    /// The probe asks with HEAD.
    pub fn with_body(mut self, body: ExpectedBody) -> Result<Self, HttpProbeError> {
        self.body = Some(body);
        self.checked()
    }

    /// Fails, where a body is expected, if it is longer than this many bytes. Default: 64 KiB.
    pub const fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Sends this header, instead of an earlier one of the same name.
    ///
    /// `Host` is, unless it is set, the address that is connected to, and `localhost` on a Unix
    /// socket, as in nginx; `User-Agent` is `tightrope-health`.
    ///
    /// # Errors
    /// It is one of those that say where the request ends and what becomes of the connection:
    /// `Connection`, `Content-Length`, `Transfer-Encoding`, `TE`, `Trailer`, `Upgrade`, `Expect`.
    pub fn with_header(
        mut self,
        name: HeaderName,
        value: HeaderValue,
    ) -> Result<Self, HttpProbeError> {
        const OURS: [HeaderName; 7] = [
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::TE,
            header::TRAILER,
            header::UPGRADE,
            header::EXPECT,
        ];
        if OURS.contains(&name) {
            return Err(HttpProbeError::Header { name });
        }
        self.headers.insert(name, value);
        Ok(self)
    }

    fn checked(self) -> Result<Self, HttpProbeError> {
        if self.method == Method::HEAD && self.body.is_some() {
            return Err(HttpProbeError::Body);
        }
        Ok(self)
    }

    async fn ask(&self, endpoint: &Endpoint) -> Result<(), ProbeError> {
        let address = &self.place(endpoint)?;
        let stream = TokioIo::new(self.connect.open(address).await?);
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_LIMIT)
            .handshake(stream)
            .await
            .map_err(ProbeError::exchange)?;
        let answer = async {
            let response = sender.send_request(self.request(address)).await;
            self.judge(response.map_err(ProbeError::exchange)?).await
        };
        let (mut answer, connection) = (pin!(answer), pin!(connection));
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // What the connection brought before it ended is still to be read.
            _ended = connection => answer.await,
        }
    }

    fn request(&self, address: &Address) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        // RFC 9112 §9.6: no further request will come on this connection.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if !headers.contains_key(header::HOST) {
            let localhost = |_| HeaderValue::from_static("localhost");
            let host = HeaderValue::try_from(host(address)).unwrap_or_else(localhost);
            headers.insert(header::HOST, host);
        }
        request
    }

    async fn judge(&self, response: Response<Incoming>) -> Result<(), ProbeError> {
        let status = response.status().as_u16();
        if !self.statuses.iter().any(|range| range.contains(&status)) {
            let ranges = Ranges(&self.statuses);
            let words = format!("status {status} is not in {ranges}");
            return Err(ProbeError::Unexpected(words));
        }
        match &self.body {
            Some(expected) => {
                let (body, _trailers) = read(response.into_body(), self.body_limit).await?;
                expected.judge(&body)
            }
            None => Ok(()),
        }
    }
}

impl Probe for HttpProbe {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(self.ask(endpoint))
    }

    fn place(&self, endpoint: &Endpoint) -> Result<Address, ProbeError> {
        self.connect.place(endpoint)
    }
}

/// Prints as `200-299, 401`.
struct Ranges<'a>(&'a [RangeInclusive<u16>]);

impl fmt::Display for Ranges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let (start, end) = (range.start(), range.end());
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{start}")?;
            if start != end {
                write!(f, "-{end}")?;
            }
        }
        Ok(())
    }
}
