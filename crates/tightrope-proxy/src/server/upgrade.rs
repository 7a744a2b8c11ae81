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

use super::wire::Line;

/// In the extensions of a request that asks for an upgrade: resolves to the connection once the service has answered
/// with 101 and the client was told, and to an error when that cannot come any more.
///
/// Its clones are about the same connection, which the first that is ready has.
///
/// # Cancellation
/// Where all clones are dropped the connection is closed after a 101.
#[derive(Clone, Debug)]
pub struct OnUpgrade {
    granted: Arc<Mutex<oneshot::Receiver<Upgraded>>>,
}

/// A connection after its upgrade, with what the client had sent already.
pub struct Upgraded {
    line: Arc<dyn Line>,
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
    pub(super) const fn new(line: Arc<dyn Line>) -> Self {
        Self { line }
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.line.poll_read(cx, buf)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.line.poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.line.poll_write(cx, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.poll_shutdown(cx)
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").finish_non_exhaustive()
    }
}
