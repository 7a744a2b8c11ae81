//! Connections that go on as something else than HTTP.

use std::{
    fmt,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

use super::{http1::Line, http2::Tunnel};

/// In the extensions of a request that asks for an upgrade, or over HTTP/2 for a tunnel by `CONNECT`: resolves to the
/// connection, or the stream of it, once the service has answered with 101, or 2xx, and the client was told, and to an
/// error when that cannot come any more.
///
/// Its clones are about the same connection, which the first that is ready has.
///
/// # Cancellation
/// Where all clones are dropped the connection is closed after a 101, and the stream reset after a 2xx.
#[derive(Clone, Debug)]
pub struct OnUpgrade {
    granted: Arc<Mutex<oneshot::Receiver<Upgraded>>>,
}

/// A connection after its upgrade, with what the client had sent already; over HTTP/2 one stream of it, which ends with its
/// connection, and is reset where it is dropped before both directions have ended.
pub struct Upgraded {
    way: Way,
}

enum Way {
    Http1(Arc<dyn Line>),
    Http2(Tunnel),
}

/// What grants an upgrade.
pub(super) type Grant = oneshot::Sender<Upgraded>;

// === impl OnUpgrade ===

impl OnUpgrade {
    pub(super) fn new() -> (Grant, Self) {
        let (grant, granted) = oneshot::channel();
        let granted = Arc::new(Mutex::new(granted));
        (grant, Self { granted })
    }
}

impl Future for OnUpgrade {
    type Output = io::Result<Upgraded>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Upgraded>> {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        if granted.is_terminated() {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        let granted = Pin::new(&mut *granted).poll(cx);
        granted.map_err(|_refused| io::ErrorKind::NotConnected.into())
    }
}

// === impl Upgraded ===

impl Upgraded {
    pub(super) const fn http1(line: Arc<dyn Line>) -> Self {
        Self {
            way: Way::Http1(line),
        }
    }

    pub(super) const fn http2(tunnel: Tunnel) -> Self {
        Self {
            way: Way::Http2(tunnel),
        }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Http1(line) => line.poll_read(cx, buf),
            Way::Http2(tunnel) => tunnel.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Http1(line) => line.poll_write(cx, &[IoSlice::new(bytes)]),
            Way::Http2(tunnel) => tunnel.poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Http1(line) => line.poll_write(cx, slices),
            Way::Http2(tunnel) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                tunnel.poll_write(cx, first.map_or(&[], |slice| slice))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.way {
            Way::Http1(line) => line.poll_flush(cx),
            // The connection sends it.
            Way::Http2(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Http1(line) => line.poll_shutdown(cx),
            Way::Http2(tunnel) => Poll::Ready(tunnel.shut_down()),
        }
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}
