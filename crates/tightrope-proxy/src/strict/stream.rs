//! The connection.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::scanner::Scanner;

pin_project! {
    /// A connection from a client that has nothing in it that two servers could read differently.
    ///
    /// hyper reads some things that RFC 9112 does not allow, and drops or repairs them: then it is not to be seen
    /// any more in the request that something was odd, while a proxy in front may have read it in another way. Put
    /// this between the socket and hyper's server. It changes nothing of a request that is right, buffers nothing,
    /// and looks at each byte of a head once; bodies are skipped. Where it finds one of these, hyper sees a NUL in
    /// its place and then the end, so that it answers with 400 and closes the connection:
    ///
    /// | what | where it is said |
    /// | --- | --- |
    /// | LF without CR, CR without LF, other control characters | RFC 9112 §2.2, RFC 9110 §5.5 |
    /// | a line that goes on in the next one; white space before the colon; a name that is no token | RFC 9112 §5.1, §5.2 |
    /// | `Content-Length` and `Transfer-Encoding` | RFC 9112 §6.1 |
    /// | more than one `Content-Length`, or one that is not digits alone, or above 2^63 - 1 | RFC 9110 §8.6 |
    /// | `Transfer-Encoding` in HTTP/1.0 | RFC 9112 §6.1 |
    /// | a target with a fragment, a backslash in its path, or characters outside of ASCII | RFC 9112 §3.2 |
    /// | a chunk size with a sign, spaces, more than 16 digits, or above 2^63 - 1 | RFC 9112 §7.1 |
    /// | extensions of a chunk against their grammar; no CRLF after its data | RFC 9112 §7.1.1 |
    /// | anything after the head of a request whose transfer coding is not `chunked`, or of a CONNECT | |
    ///
    /// A wrong transfer coding itself passes, for [`check_request`](crate::check_request) to answer it with 501.
    ///
    /// After a 101 the bytes are no HTTP any more. [`Forward`](crate::Forward) says so by the [`Tunnelled`] in the
    /// extensions of the request; without it every tunnel breaks at its first byte.
    ///
    /// ```
    /// use tightrope_proxy::StrictRequests;
    /// use tokio::io::AsyncReadExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let socket: &[u8] = b"GET / HTTP/1.1\r\nhost: a.test\nx-forwarded-for: 127.0.0.1\r\n\r\n";
    /// let mut seen = Vec::new();
    /// StrictRequests::new(socket).read_to_end(&mut seen).await?;
    /// assert_eq!(seen, b"GET / HTTP/1.1\r\nhost: a.test\0");
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Debug)]
    pub struct StrictRequests<T> {
        #[pin]
        inner: T,
        scanner: Scanner,
        has_failed: bool,
        tunnelled: Tunnelled,
    }
}

/// Tells a [`StrictRequests`] that a tunnel begins. Belongs into the extensions of every request that came over it.
#[derive(Clone, Debug, Default)]
pub struct Tunnelled {
    is_set: Arc<AtomicBool>,
}

// === impl StrictRequests ===

impl<T> StrictRequests<T> {
    /// Reads `inner` from the beginning of a request.
    #[must_use]
    pub fn new(inner: T) -> Self {
        Self {
            inner,
            scanner: Scanner::new(),
            has_failed: false,
            tunnelled: Tunnelled::default(),
        }
    }

    /// What belongs into the extensions of the requests.
    #[must_use]
    pub fn tunnelled(&self) -> Tunnelled {
        self.tunnelled.clone()
    }

    /// Whether what was read so far are whole requests, after which another may follow. Not where a tunnel began.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        !self.has_failed && !self.tunnelled.is_set() && self.scanner.is_between_requests()
    }

    /// The connection inside.
    #[must_use]
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The connection inside, without the wrapping.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead> AsyncRead for StrictRequests<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        if *this.has_failed {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(this.inner.poll_read(cx, buf))?;
        if this.tunnelled.is_set() {
            return Poll::Ready(Ok(()));
        }
        let fresh = &mut buf.filled_mut()[before..];
        if let Some(at) = this.scanner.scan(fresh) {
            // Not allowed anywhere outside of a body, where nothing is refused.
            fresh[at] = 0;
            buf.set_filled(before + at + 1);
            *this.has_failed = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite> AsyncWrite for StrictRequests<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

// === impl Tunnelled ===

impl Tunnelled {
    /// What comes from now on is no HTTP.
    pub(crate) fn set(&self) {
        // Release: before the task of the tunnel reads from the connection.
        self.is_set.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }
}
