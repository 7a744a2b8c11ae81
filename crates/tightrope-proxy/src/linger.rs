//! Connections that are closed while their client is still sending.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

/// A connection of which what is left can be closed without losing the answer.
///
/// A system that closes a socket with bytes in it that nobody read, or to which more come, resets the connection:
/// a client that is still sending then gets an error for its write, and may lose an answer that was already
/// written, such as a 413 to an upload, or the GOAWAY of HTTP/2 that says why. Put this around the socket of a client,
/// below TLS and the server. Once that has dropped it, [`LingeringClose::linger`] reads on, to the end, before
/// the socket is closed.
///
/// Where the end of what the client sends was read, or reading failed, the socket is closed as it is dropped. A
/// read costs a branch more, a write nothing.
///
/// Source: nginx's `lingering_close`.
///
/// ```
/// use tightrope_proxy::LingeringStream;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> std::io::Result<()> {
/// let (mut client, socket) = duplex(4);
/// let (mut stream, close) = LingeringStream::new(socket);
/// let serve = async move {
///     stream.write_all(b"413").await?;
///     drop(stream);
///     close.linger().await;
///     std::io::Result::Ok(())
/// };
/// let upload = async move {
///     client.write_all(b"a long upload").await?;
///     client.shutdown().await?;
///     let mut answer = String::new();
///     client.read_to_string(&mut answer).await?;
///     assert_eq!(answer, "413");
///     std::io::Result::Ok(())
/// };
/// let (served, uploaded) = tokio::join!(serve, upload);
/// served.and(uploaded)
/// # }
/// ```
#[derive(Debug)]
pub struct LingeringStream<T> {
    /// None only while it is dropped.
    io: Option<T>,
    has_ended: bool,
    left: Left<T>,
}

/// The end of a [`LingeringStream`]. Without it the connection is closed as it is dropped.
#[must_use]
#[derive(Debug)]
pub struct LingeringClose<T> {
    left: Left<T>,
}

/// What is left of a connection that was dropped before its end.
type Left<T> = Arc<Mutex<Option<T>>>;

/// How long to read on. The answer needs about a round trip to reach the client, which then should send no more, and a
/// second more where a part of it is lost; who closes a server waits for this.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How much to read. What was on its way before the client could know of the answer is at most what the system
/// takes in for a socket, which is 6 MiB on Linux unless set otherwise.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// How much is read at a time.
const PIECE: usize = 16 * 1024;

// === impl LingeringStream ===

impl<T> LingeringStream<T> {
    /// Wraps `io`, of which nothing has ended yet.
    pub fn new(io: T) -> (Self, LingeringClose<T>) {
        let left = Left::default();
        let stream = Self {
            io: Some(io),
            has_ended: false,
            left: Arc::clone(&left),
        };
        (stream, LingeringClose { left })
    }

    /// The connection inside.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "it is there until this is dropped"
    )]
    pub fn get_ref(&self) -> &T {
        self.io.as_ref().expect(KEPT)
    }

    pub(crate) fn inner(&mut self) -> &mut T {
        self.io.as_mut().expect(KEPT)
    }
}

const KEPT: &str = "it is taken as this is dropped";

impl<T: AsyncRead + Unpin> AsyncRead for LingeringStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.remaining();
        let read = ready!(Pin::new(self.inner()).poll_read(cx, buf));
        if read.is_err() || before > 0 && buf.remaining() == before {
            self.has_ended = true;
        }
        Poll::Ready(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for LingeringStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.inner()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.inner()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.inner()).poll_shutdown(cx)
    }
}

impl<T> Drop for LingeringStream<T> {
    fn drop(&mut self) {
        if !self.has_ended {
            // A critical section is one assignment.
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            *left = self.io.take();
        }
    }
}

// === impl LingeringClose ===

impl<T: AsyncRead + AsyncWrite + Unpin> LingeringClose<T> {
    /// Ends what is written, and reads what comes until the client has closed, for at most 2 s and 8 MiB. Then the
    /// connection is closed.
    ///
    /// Returns at once where the end was read already, and where the stream is still in use, as in a tunnel. It takes
    /// memory only where neither is so.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the connection.
    pub async fn linger(self) {
        let left = {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            left.take()
        };
        if let Some(io) = left {
            // In a box, which would else be part of what keeps every connection.
            let _ended = Box::pin(timeout(TIMEOUT, discard(io))).await;
        }
    }
}

async fn discard(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    io.shutdown().await?;
    let mut left = MAX_BYTES;
    while left > 0 {
        match poll_fn(|cx| poll_discard(&mut io, cx)).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

/// There is no buffer while nothing comes.
fn poll_discard(
    io: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut bytes = [MaybeUninit::uninit(); PIECE];
    let mut buf = ReadBuf::uninit(&mut bytes);
    ready!(Pin::new(io).poll_read(cx, &mut buf))?;
    Poll::Ready(Ok(buf.filled().len()))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, duplex},
        time::Instant,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_sends_on_is_read_to_the_end_and_gets_the_answer() {
        let (mut client, stream) = duplex(64);
        let (mut stream, close) = LingeringStream::new(stream);
        stream.write_all(b"enough").await.unwrap();
        drop(stream);
        let upload = async {
            client.write_all(&[0; 4096]).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            drop(client);
            answer
        };
        let start = Instant::now();
        let ((), answer) = tokio::join!(close.linger(), upload);
        assert_eq!(answer, "enough");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_ended_or_is_still_served_is_not_waited_for() {
        let (mut client, stream) = duplex(64);
        let (mut stream, close) = LingeringStream::new(stream);
        client.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        drop(stream);
        let start = Instant::now();
        close.linger().await;
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);

        let (mut client, stream) = duplex(64);
        let (mut tunnel, close) = LingeringStream::new(stream);
        close.linger().await;
        tunnel.write_all(b"on").await.unwrap();
        drop(tunnel);
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "on");
        assert!(client.write_all(b"gone").await.is_err());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_buffer_says_nothing_of_the_end() {
        let (client, stream) = duplex(64);
        let (mut stream, close) = LingeringStream::new(stream);
        assert_eq!(stream.read(&mut []).await.unwrap(), 0);
        drop(stream);
        let start = Instant::now();
        close.linger().await;
        assert_eq!(start.elapsed(), TIMEOUT);
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_does_not_stop_is_left_in_the_end() {
        let (_quiet, stream) = duplex(64);
        let (stream, close) = LingeringStream::new(stream);
        drop(stream);
        let start = Instant::now();
        close.linger().await;
        assert_eq!(start.elapsed(), TIMEOUT);

        let (mut client, stream) = duplex(1024 * 1024);
        let (stream, close) = LingeringStream::new(stream);
        drop(stream);
        let endless = async {
            let mut sent = 0;
            while client.write_all(&[0; PIECE]).await.is_ok() {
                sent += PIECE;
            }
            sent
        };
        let start = Instant::now();
        let ((), sent) = tokio::join!(close.linger(), endless);
        assert!(
            (MAX_BYTES..=MAX_BYTES + 1024 * 1024).contains(&sent),
            "{sent}"
        );
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
