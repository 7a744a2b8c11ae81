//! HTTP/2 with clients.

mod connection;
mod crowd;
mod head;
mod inflow;
mod outflow;
mod pings;
mod reply;
mod stream;
mod tunnel;

use std::time::Duration;

use bytes::BytesMut;
use http::{Request, Response};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

pub use self::connection::Http2Connection;
pub(super) use self::{inflow::Inflow, reply::Reply, tunnel::Tunnel};
use super::RequestBody;
use crate::io::Early;

/// How HTTP/2 is spoken with clients, and what they may ask of a connection.
///
/// The client begins with HTTP/2: what tells that from HTTP/1.1, ALPN or [`detect`](super::detect), comes before this.
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use tightrope_proxy::server::{Http2, RequestBody};
/// use tokio::io::duplex;
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = service_fn(async |request: Request<RequestBody>| {
///     Ok::<_, Infallible>(Response::new(request.uri().path().to_owned()))
/// });
/// let (client, socket) = duplex(1024);
/// let served = Http2::new().with_max_streams(10).serve(socket, service);
/// let talk = async {
///     let (mut requests, connection) = h2::client::handshake(client).await?;
///     let ask = async move {
///         let request = Request::get("http://a.test/a").body(())?;
///         let response = requests.send_request(request, true)?.0.await?;
///         assert_eq!((response.status().as_u16(), &response.headers()["content-length"]), (200, &"2".parse()?));
///         Ok::<_, Box<dyn std::error::Error>>(())
///     };
///     let (asked, ended) = tokio::join!(ask, connection);
///     ended?;
///     asked
/// };
/// let (served, talked) = tokio::join!(served, talk);
/// talked?;
/// served?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Http2 {
    h2: h2::server::Builder,
    max_fields: usize,
    max_resets: usize,
    first_request_timeout: Duration,
    idle_timeout: Duration,
    ping_interval: Duration,
    ping_timeout: Duration,
    write_timeout: Duration,
}

/// RFC 9113 §6.9.1.
const MAX_WINDOW: u32 = i32::MAX as u32;

// === impl Http2 ===

impl Http2 {
    /// With these limits: 100 requests at a time; a head of at most 64 KiB and 100 fields; 100 requests that are given up;
    /// 30 s until the first request and 60 s between two; a ping every 20 s, to be answered within 10 s; 60 s to take
    /// something of a response. 256 KiB may be on their way up on a stream and 1 MiB on the connection, and 64 KiB
    /// down on a stream. Tunnels are not offered.
    #[must_use]
    pub fn new() -> Self {
        let http2 = Self {
            h2: h2::server::Builder::new(),
            max_fields: 100,
            max_resets: 0,
            first_request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
        };
        http2
            .with_max_streams(100)
            .with_max_head(64 * 1024)
            .with_max_resets(100)
            .with_windows(256 * 1024, 1024 * 1024)
            .with_send_buffer(64 * 1024)
    }

    /// How many requests may be under way at a time. Those beyond it are refused, which clients understand.
    #[must_use]
    pub fn with_max_streams(mut self, streams: u32) -> Self {
        self.h2.max_concurrent_streams(streams);
        self
    }

    /// How long a head may be, in bytes, as RFC 9113 §6.5.2 counts them: 32 more for each field. A longer one is answered with
    /// 431; how often it may be continued follows from this.
    #[must_use]
    pub fn with_max_head(mut self, bytes: usize) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.h2.max_header_list_size(bytes);
        self
    }

    /// How many fields a head may have. One with more is answered with 431.
    #[must_use]
    pub const fn with_max_fields(mut self, fields: usize) -> Self {
        self.max_fields = fields;
        self
    }

    /// How many requests a client may give up before they are answered: from then on at most half of all. More end the
    /// connection with GOAWAY and ENHANCE_YOUR_CALM, since each was work for nothing. So do as many that were given up before
    /// they were begun, or that the client got wrong.
    #[must_use]
    pub fn with_max_resets(mut self, resets: usize) -> Self {
        self.max_resets = resets;
        self.h2
            .max_pending_accept_reset_streams(resets)
            .max_local_error_reset_streams(Some(resets));
        self
    }

    /// How long to wait for the first request, from the beginning of the connection. [`Duration::MAX`] never ends.
    #[must_use]
    pub const fn with_first_request_timeout(mut self, timeout: Duration) -> Self {
        self.first_request_timeout = timeout;
        self
    }

    /// How long a connection may have no request and no tunnel, after the first. Its client is told before it is closed, and
    /// loses none. [`Duration::MAX`] never ends.
    #[must_use]
    pub const fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Asks the client every `interval` whether it is still there. It has `timeout` to answer, or the connection ends. As long
    /// does one that ends wait for its client.
    #[must_use]
    pub const fn with_ping(mut self, interval: Duration, timeout: Duration) -> Self {
        self.ping_interval = interval;
        self.ping_timeout = timeout;
        self
    }

    /// How long a client may take nothing of a response of which there is something to send: its stream is reset after
    /// that, also where other responses that it does not read fill the window of the connection. What the client does not read of the socket is seen by [`WriteTimeout`](crate::WriteTimeout).
    #[must_use]
    pub const fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How many bytes of request bodies may come before somebody reads them: on one stream, and on all of the connection. At most
    /// 2^31 - 1.
    #[must_use]
    pub fn with_windows(mut self, stream: u32, connection: u32) -> Self {
        self.h2
            .initial_window_size(stream.min(MAX_WINDOW))
            .initial_connection_window_size(connection.min(MAX_WINDOW));
        self
    }

    /// How many bytes of a response may wait to be sent on one stream.
    #[must_use]
    pub fn with_send_buffer(mut self, bytes: usize) -> Self {
        self.h2.max_send_buffer_size(bytes.min(MAX_WINDOW as usize));
        self
    }

    /// Offers extended `CONNECT` (RFC 8441), by which clients ask for tunnels within a connection:
    /// [`ExtendedConnectLayer`](crate::ExtendedConnectLayer) knows those for WebSockets.
    #[must_use]
    pub fn with_extended_connect(mut self) -> Self {
        self.h2.enable_connect_protocol();
        self
    }

    /// Answers the requests that come over `io` by `service`, side by side.
    ///
    /// A request without a target, with one that its method cannot have, or with a Content-Length that is not one number, is
    /// answered with 400 and never reaches the service.
    ///
    /// Each request has an [`Interim`](super::Interim) in its extensions. A `CONNECT` has an [`OnUpgrade`](super::OnUpgrade), and
    /// the `h2::ext::Protocol` that it names: a 2xx from the service hands the stream to whoever has that. An error of the
    /// service, or of a body, resets the stream with INTERNAL_ERROR.
    pub fn serve<T, S, B>(&self, io: T, service: S) -> Http2Connection<T, S, B>
    where
        T: AsyncRead + AsyncWrite + Unpin,
        S: Service<Request<RequestBody>, Response = Response<B>>,
        B: Body,
    {
        self.serve_read(io, BytesMut::new(), service)
    }

    /// As [`serve`](Self::serve) does, where some of the connection was read before, as by [`detect`](super::detect).
    pub fn serve_read<T, S, B>(&self, io: T, read: BytesMut, service: S) -> Http2Connection<T, S, B>
    where
        T: AsyncRead + AsyncWrite + Unpin,
        S: Service<Request<RequestBody>, Response = Response<B>>,
        B: Body,
    {
        Http2Connection::new(Early { io, early: read }, service, self.clone())
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self::new()
    }
}
