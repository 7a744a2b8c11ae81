//! Does a gRPC service say that it serves?

mod tasks;
mod wire;

use std::pin::pin;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
    uri::{Authority, Scheme},
};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::TokioIo;
use tightrope_upstream::{Address, Endpoint};

use self::tasks::Tasks;
#[cfg(feature = "tls")]
use super::Tls;
use super::{
    Place, Probe, ProbeError, ProbeFuture,
    connect::Connect,
    excerpt::excerpt,
    message::{host, read},
};

/// Asks `grpc.health.v1.Health/Check`, the [health protocol of gRPC][protocol], over HTTP/2 from
/// the first byte on, on a connection of its own for each probe.
///
/// Passes when the answer is `SERVING`. A server that does not know the service (`NOT_FOUND`), or not
/// the protocol (`UNIMPLEMENTED`), fails: ask it with a [`TcpProbe`](crate::TcpProbe).
///
/// ```
/// use tightrope_health::{GrpcProbe, HealthCheck};
/// use tightrope_upstream::Upstream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let upstream = Upstream::new("shop");
/// let probe = GrpcProbe::new().with_service("shop.v1.Cart");
/// let health = HealthCheck::new(&upstream, probe).spawn();
/// # drop(health);
/// # }
/// ```
///
/// [protocol]: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct GrpcProbe {
    connect: Connect,
    service: String,
    authority: Option<Authority>,
    headers: HeaderMap,
}

/// Why a setting of a [`GrpcProbe`] was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrpcProbeError {
    /// It is not what a server can be called by.
    #[error("`{authority}` is not an authority; expected NAME or NAME:PORT")]
    Authority {
        /// The authority as it was given.
        authority: String,
    },
    /// The protocol says what it must be.
    #[error("header `{name}` is not a probe's to set")]
    Header {
        /// Which.
        name: HeaderName,
    },
}

const PATH: &str = "/grpc.health.v1.Health/Check";

/// The answer is read up to this many bytes. One that is right has seven.
const ANSWER_LIMIT: usize = 4096;

/// Its head and its trailers, each.
const HEAD_LIMIT: u32 = 16 * 1024;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

// === impl GrpcProbe ===

impl GrpcProbe {
    /// Asks for the health of the server as a whole.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the health of this service, by its full name such as `shop.v1.Cart`. Default: none,
    /// for the server as a whole.
    pub fn with_service(mut self, name: &str) -> Self {
        name.clone_into(&mut self.service);
        self
    }

    /// Asks there. Default: at the endpoint's address.
    pub fn with_place(mut self, place: Place) -> Self {
        self.connect.place = place;
        self
    }

    /// Speaks TLS with whom it connects to. Default: not.
    #[cfg(feature = "tls")]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.connect.tls = Some(tls.offering(b"h2"));
        self
    }

    /// Calls the server by this `:authority`, HTTP/2's `Host`. Default: the address that is connected
    /// to, and `localhost` on a Unix socket.
    ///
    /// # Errors
    /// It is not `NAME` or `NAME:PORT`.
    pub fn with_authority(mut self, authority: &str) -> Result<Self, GrpcProbeError> {
        let parsed = Authority::try_from(authority).ok();
        let parsed = parsed.filter(|parsed| !parsed.as_str().contains('@'));
        let parsed = parsed.ok_or_else(|| GrpcProbeError::Authority {
            authority: authority.to_owned(),
        })?;
        self.authority = Some(parsed);
        Ok(self)
    }

    /// Sends this header, which gRPC calls metadata, instead of an earlier one of the same name.
    /// `User-Agent` is, unless it is set, `tightrope-health`.
    ///
    /// # Errors
    /// It is one of those that the protocol is made of: `Host`, `Content-Type`, `Content-Length`, `TE`,
    /// `Trailer`, `Connection`, `Transfer-Encoding`, `Upgrade`, `Expect`, or begins with `grpc-`.
    pub fn with_header(
        mut self,
        name: HeaderName,
        value: HeaderValue,
    ) -> Result<Self, GrpcProbeError> {
        const OURS: [HeaderName; 9] = [
            header::HOST,
            header::CONTENT_TYPE,
            header::CONTENT_LENGTH,
            header::TE,
            header::TRAILER,
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
            header::EXPECT,
        ];
        if OURS.contains(&name) || name.as_str().starts_with("grpc-") {
            return Err(GrpcProbeError::Header { name });
        }
        self.headers.insert(name, value);
        Ok(self)
    }

    async fn ask(&self, endpoint: &Endpoint) -> Result<(), ProbeError> {
        let address = self.place(endpoint)?;
        let stream = TokioIo::new(self.connect.open(&address).await?);
        let tasks = Tasks::new();
        let (mut sender, connection) = http2::Builder::new(tasks.spawner())
            // What comes is kept until it is read: no more than can be right.
            .initial_stream_window_size(ANSWER_LIMIT as u32)
            .max_header_list_size(HEAD_LIMIT)
            .handshake(stream)
            .await
            .map_err(ProbeError::exchange)?;
        let answer = async {
            let response = sender.send_request(self.request(&address)?).await;
            judge(response.map_err(ProbeError::exchange)?).await
        };
        let (mut answer, connection) = (pin!(answer), pin!(connection));
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // What the connection brought before it ended is still to be read.
            _ended = connection => answer.await,
        }
    }

    fn request(&self, address: &Address) -> Result<Request<Full<Bytes>>, ProbeError> {
        let authority = match &self.authority {
            Some(authority) => authority.clone(),
            None => host(address).parse().map_err(ProbeError::exchange)?,
        };
        let target = Uri::builder()
            .scheme(self.scheme())
            .authority(authority)
            .path_and_query(PATH);
        let mut request = Request::new(Full::new(wire::question(&self.service)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.build().map_err(ProbeError::exchange)?;
        let headers = request.headers_mut();
        let fixed = [
            (header::USER_AGENT, "tightrope-health"),
            (header::CONTENT_TYPE, "application/grpc"),
            (header::TE, "trailers"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        Ok(request)
    }

    fn scheme(&self) -> Scheme {
        #[cfg(feature = "tls")]
        if self.connect.tls.is_some() {
            return Scheme::HTTPS;
        }
        Scheme::HTTP
    }
}

impl Probe for GrpcProbe {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(self.ask(endpoint))
    }

    fn place(&self, endpoint: &Endpoint) -> Result<Address, ProbeError> {
        self.connect.place(endpoint)
    }
}

async fn judge(response: Response<Incoming>) -> Result<(), ProbeError> {
    let unexpected = |words| Err(ProbeError::Unexpected(words));
    let status = response.status();
    if status != StatusCode::OK {
        return unexpected(format!("status {} is not 200", status.as_u16()));
    }
    let (head, body) = response.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE);
    let kind = kind.map_or(&b""[..], HeaderValue::as_bytes);
    if !kind.starts_with(b"application/grpc") {
        let kind = excerpt(&String::from_utf8_lossy(kind));
        return unexpected(format!("content type `{kind}` is not application/grpc"));
    }
    // A call that fails at once has its status in the head, and neither message nor trailers.
    if head.headers.contains_key(STATUS) {
        succeeded(&head.headers)?;
    }
    let (body, trailers) = read(body, ANSWER_LIMIT).await?;
    if !head.headers.contains_key(STATUS) {
        succeeded(&trailers)?;
    }
    wire::judge(&body)
}

/// Whether `headers` say that the call came to its end.
fn succeeded(headers: &HeaderMap) -> Result<(), ProbeError> {
    let text = |name| {
        let value = headers.get(name).map(HeaderValue::as_bytes);
        value.map(|value| excerpt(&String::from_utf8_lossy(value)))
    };
    let words = match (text(STATUS), text(MESSAGE)) {
        (Some(status), _) if status == "0" => return Ok(()),
        (Some(status), Some(message)) => format!("grpc-status {status} is not 0: {message}"),
        (Some(status), None) => format!("grpc-status {status} is not 0"),
        (None, _) => "there is no grpc-status".to_owned(),
    };
    Err(ProbeError::Unexpected(words))
}
