//! What goes first over a connection.

use bytes::Bytes;

/// Bytes that go first over the connection to the endpoint, such as a header of the PROXY protocol; in the extensions
/// of a request.
///
/// With TLS they go before its handshake, in the clear, as servers expect it that understand both.
///
/// They speak for the client of this one request, so its connection is shared with no other: it is a new one, and is
/// closed when the response ended. That costs each request a handshake. Where endpoints understand `X-Forwarded-For`,
/// use that.
///
/// ```
/// use tightrope_proxy::Preamble;
///
/// let header = "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n";
/// let request = http::Request::get("/").extension(Preamble::new(header)).body(())?;
/// # let _ = request;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Preamble(Bytes);

impl Preamble {
    /// These bytes, in one piece.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
