//! Which HTTP a client begins to speak.

use std::{future::poll_fn, io};

use bytes::BytesMut;
use tokio::io::AsyncRead;

use crate::h1::Reader;

/// What a client speaks, with what was read of its connection, which is for the server:
/// [`Http1::serve_read`](super::Http1::serve_read), [`Http2::serve_read`](super::Http2::serve_read).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detected {
    /// All that is not HTTP/2, be it no HTTP at all or nothing before the end.
    Http1(BytesMut),
    /// HTTP/2, by prior knowledge (RFC 9113 §3.3).
    Http2(BytesMut),
}

/// What a client of HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads what a client speaks, by how it begins.
///
/// For sockets without TLS; within TLS it is agreed on by ALPN. No buffer is held while nothing comes. There is no limit
/// of time.
///
/// ```
/// use tightrope_proxy::server::{Detected, detect};
/// use tokio::io::{AsyncWriteExt, duplex};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (mut client, mut socket) = duplex(64);
/// client.write_all(b"GET / HTTP/1.1\r\n").await?;
/// let detected = detect(&mut socket).await?;
/// assert_eq!(detected, Detected::Http1(b"GET / HTTP/1.1\r\n"[..].into()));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// That of a read.
///
/// # Cancellation
/// What was read is lost when the future is dropped.
pub async fn detect<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<Detected> {
    let mut reader = Reader::new();
    loop {
        let count = poll_fn(|cx| match reader.bytes.is_empty() {
            true => reader.poll_first(io, cx),
            false => reader.poll_fill(io, cx),
        });
        let is_end = count.await? == 0;
        let read = &reader.bytes[..];
        if read.starts_with(PREFACE) {
            return Ok(Detected::Http2(reader.bytes));
        }
        if is_end || !PREFACE.starts_with(read) {
            return Ok(Detected::Http1(reader.bytes));
        }
    }
}
