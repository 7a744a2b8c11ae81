//! Connections of HTTP/1.1 on which nothing happens: all that is kept of one is its socket.
//!
//! hyper keeps its buffers, 16 KiB of them, for as long as it has a connection. So its connection is
//! dropped after a while without a request, and a new one is made when something comes.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tightrope::proxy::{LingeringStream, StrictRequests, Tunnelled, WriteTimeout};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_rustls::server::TlsStream;

use crate::streams::Streams;

/// How long a connection is idle before its buffers are given back: long for one that is busy, and
/// short for one that is not.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// A socket that hyper has for a while. What comes over it is strict HTTP/1.1.
///
/// Its clones are the same socket, of which one at a time is in use: the lock is never waited for.
pub(crate) struct Lent<S> {
    shared: Arc<Mutex<State<S>>>,
}

struct State<S> {
    stream: StrictRequests<S>,
    /// Nothing is there to be read.
    is_read: bool,
    /// Something is there that could not be written.
    is_blocked: bool,
}

/// Tells when a connection rests.
pub(crate) struct Nap {
    /// How many requests there were when the timer was set.
    begun: Option<usize>,
    timer: Pin<Box<Sleep>>,
}

/// What can be waited for without a buffer.
pub(crate) trait Readable {
    /// Whether there is something to read, or may be.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

// === impl Lent ===

impl<S> Lent<S> {
    pub(crate) fn new(stream: StrictRequests<S>) -> Self {
        Self {
            shared: Arc::new(Mutex::new(State {
                stream,
                is_read: false,
                is_blocked: false,
            })),
        }
    }

    pub(crate) fn tunnelled(&self) -> Tunnelled {
        self.lock().stream.tunnelled()
    }

    /// Whether nobody who reads and writes has anything of it in a buffer, once each response has ended.
    fn is_clear(&self) -> bool {
        let state = self.lock();
        state.is_read && !state.is_blocked && state.stream.is_between_requests()
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        // Every critical section leaves the state whole.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Readable> Lent<S> {
    /// Resolves when there is something to read, or may be.
    pub(crate) async fn readable(&self) {
        // What is wrong shows when it is read.
        let _same = poll_fn(|cx| self.lock().stream.get_ref().poll_readable(cx)).await;
    }

    /// Whether the client has sent something that was not read, or is within a request, of which more may come.
    pub(crate) async fn is_being_sent(&self) -> bool {
        let is_sent = |cx: &mut Context<'_>| {
            let stream = &self.lock().stream;
            !stream.is_between_requests() || stream.get_ref().poll_readable(cx).is_ready()
        };
        poll_fn(|cx| Poll::Ready(is_sent(cx))).await
    }
}

impl<S> Clone for Lent<S> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let read = Pin::new(&mut state.stream).poll_read(cx, buf);
        state.is_read = read.is_pending();
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let written = Pin::new(&mut state.stream).poll_write(cx, bytes);
        state.is_blocked = written.is_pending();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        let flushed = Pin::new(&mut state.stream).poll_flush(cx);
        state.is_blocked = flushed.is_pending();
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let written = Pin::new(&mut state.stream).poll_write_vectored(cx, slices);
        state.is_blocked = written.is_pending();
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().stream.is_write_vectored()
    }
}

// === impl Nap ===

impl Nap {
    pub(crate) fn new() -> Self {
        Self {
            begun: None,
            timer: Box::pin(sleep(PAUSE)),
        }
    }

    /// Ready when `stream` has been clear, and `requests` have all ended, for one to two pauses. To be
    /// asked after the connection was polled.
    pub(crate) fn poll<S>(
        &mut self,
        stream: &Lent<S>,
        requests: &Streams,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if requests.are_open() || !stream.is_clear() {
            return Poll::Pending;
        }
        // A busy connection sets its timer once in a pause and not at each request.
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let begun = requests.begun();
            if self.begun.replace(begun) == Some(begun) {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(Instant::now() + PAUSE);
        }
    }
}

// === impl Readable ===

impl Readable for WriteTimeout<LingeringStream<TcpStream>> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().get_ref().poll_read_ready(cx)
    }
}

impl<S: Readable> Readable for Box<TlsStream<S>> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().0.poll_readable(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::{Instant, timeout},
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// Reads all that there is, and then as hyper does until something comes.
    async fn rests(stream: &Lent<DuplexStream>, requests: &Streams) -> bool {
        let mut nap = Nap::new();
        let mut reader = stream.clone();
        let mut bytes = [0; 1024];
        let rests = poll_fn(|cx| {
            loop {
                let mut buf = ReadBuf::new(&mut bytes);
                if Pin::new(&mut reader).poll_read(cx, &mut buf).is_pending() {
                    return nap.poll(stream, requests, cx);
                }
            }
        });
        timeout(LONG, rests).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_rests_once_its_requests_have_ended_for_a_pause() {
        let (mut client, stream) = duplex(1024);
        let stream = Lent::new(StrictRequests::new(stream));
        let requests = Streams::new(usize::MAX);
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let start = Instant::now();
        assert!(rests(&stream, &requests).await);
        assert!((PAUSE..=2 * PAUSE).contains(&start.elapsed()));
        let _open = requests.begin().answered();
        assert!(!rests(&stream, &requests).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_does_not_rest_within_a_request_or_a_response() {
        for part in ["GET / HT", "PUT / HTTP/1.1\r\ncontent-length: 2\r\n\r\na"] {
            let (mut client, stream) = duplex(1024);
            let stream = Lent::new(StrictRequests::new(stream));
            client.write_all(part.as_bytes()).await.unwrap();
            assert!(!rests(&stream, &Streams::new(usize::MAX)).await, "{part}");
        }
        let (mut client, stream) = duplex(4);
        let mut stream = Lent::new(StrictRequests::new(stream));
        let requests = Streams::new(usize::MAX);
        let blocked = timeout(LONG, stream.write_all(b"response")).await;
        assert!(blocked.is_err());
        assert!(!rests(&stream, &requests).await);
        client.read_exact(&mut [0; 4]).await.unwrap();
        stream.write_all(b"nse").await.unwrap();
        assert!(rests(&stream, &requests).await);
    }
}
