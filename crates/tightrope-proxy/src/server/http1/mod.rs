//! HTTP/1.1 with clients.

mod connection;
mod head;
mod response;
mod wire;

use std::time::Duration;

use bytes::BytesMut;
use http::{Request, Response};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

pub use self::connection::Http1Connection;
use self::head::Limits;
pub(super) use self::wire::Line;
use super::RequestBody;

/// How HTTP/1.1 is spoken with clients.
///
/// Clients of HTTP/1.0 are answered as well. HTTP/2 is not spoken here.
#[derive(Clone, Copy, Debug)]
pub struct Http1 {
    head_timeout: Duration,
    limits: Limits,
    half_close: HalfClose,
}

/// What a client is that has closed its half of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HalfClose {
    /// Gone, as nearly all are: what is done for it ends at once. The default.
    #[default]
    Gone,
    /// Somebody who only sends no more, and waits for what was asked for. Then a client that is gone is seen only when
    /// something is written to it.
    Answered,
}

impl Http1 {
    /// With these limits: a head comes within 30 s, in at most 64 KiB and 100 fields.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head_timeout: Duration::from_secs(30),
            limits: Limits {
                bytes: 64 * 1024,
                fields: 100,
            },
            half_close: HalfClose::Gone,
        }
    }

    /// How long to wait for a head: from the beginning of the connection, or from the end of the last response, until all of
    /// it is there. Who is late with the rest of one gets a 408; a connection on which nothing came is closed.
    /// [`Duration::MAX`] never ends.
    #[must_use]
    pub const fn with_head_timeout(mut self, timeout: Duration) -> Self {
        self.head_timeout = timeout;
        self
    }

    /// How long a head may be, in bytes. A longer one is answered with 431.
    #[must_use]
    pub const fn with_max_head(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// How many fields a head may have. One with more is answered with 431.
    #[must_use]
    pub const fn with_max_fields(mut self, fields: usize) -> Self {
        self.limits.fields = fields;
        self
    }

    /// What a client is that has closed its half of the connection.
    #[must_use]
    pub const fn with_half_close(mut self, half_close: HalfClose) -> Self {
        self.half_close = half_close;
        self
    }

    /// Answers the requests that come over `io` by `service`, one after the other.
    ///
    /// Each request has an [`Interim`](super::Interim) in its extensions, and an [`OnUpgrade`](super::OnUpgrade) where it asks for an
    /// upgrade: a 101 from the service hands the connection to whoever has that.
    pub fn serve<T, S, B>(&self, io: T, service: S) -> Http1Connection<T, S, B>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<RequestBody>, Response = Response<B>>,
        B: Body,
    {
        self.serve_read(io, BytesMut::new(), service)
    }

    /// As [`serve`](Self::serve) does, where some of the connection was read before, as by [`detect`](super::detect).
    pub fn serve_read<T, S, B>(&self, io: T, read: BytesMut, service: S) -> Http1Connection<T, S, B>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<RequestBody>, Response = Response<B>>,
        B: Body,
    {
        Http1Connection::new(io, read, service, *self)
    }
}

impl Default for Http1 {
    fn default() -> Self {
        Self::new()
    }
}
