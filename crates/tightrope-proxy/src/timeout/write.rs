//! Who takes nothing of what is sent.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::IdleTimer;

/// A connection whose other side must take what is written to it.
///
/// Put it around the stream of a client, below TLS and the server. A write, flush or shutdown that waits
/// for this long, with nothing taken meanwhile, fails with [`io::ErrorKind::TimedOut`], at which a server
/// ends the connection: without that a client that asks for much and reads nothing holds its response, the
/// connection to the endpoint and the place in flight for as long as it likes. Time in which there is
/// nothing to write does not count, and reads go through untouched.
///
/// What it sees is what the system takes. That keeps some of what is written, and takes more only when a
/// part of that is gone: a client that reads slowly may look as if it read nothing for a while, so the limit
/// should be generous. A client of HTTP/2 that reads, but gives one of its streams no window, is not seen here.
///
/// A write that does not wait costs a branch, and one that does no timer of its own: the timer is armed by
/// the first and moved when it fires.
///
/// Source: nginx's `send_timeout`, whose default is 60 s.
///
/// ```
/// use std::time::Duration;
/// use tightrope_proxy::WriteTimeout;
/// use tokio::io::{AsyncWriteExt, duplex};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (near, _reads_nothing) = duplex(4);
/// let mut near = WriteTimeout::new(near, Duration::from_secs(60));
/// let error = near.write_all(b"too much").await.expect_err("it is not taken");
/// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
/// # }
/// ```
#[derive(Debug)]
pub struct WriteTimeout<T> {
    io: T,
    limit: Duration,
    timer: IdleTimer,
}

impl<T> WriteTimeout<T> {
    /// Lets each wait of a write to `io` last for `limit`. Zero is over at once; [`Duration::MAX`] is never
    /// over.
    #[must_use]
    pub fn new(io: T, limit: Duration) -> Self {
        Self {
            io,
            limit,
            timer: IdleTimer::default(),
        }
    }

    /// The connection inside.
    pub const fn get_ref(&self) -> &T {
        &self.io
    }

    /// The connection inside.
    pub const fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// The connection inside.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncWrite + Unpin> WriteTimeout<T> {
    pub(crate) fn poll_within<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        match poll(Pin::new(&mut self.io), cx) {
            Poll::Ready(result) => {
                self.timer.progress();
                Poll::Ready(result)
            }
            Poll::Pending => self.timer.poll_expired(self.limit, cx).map(|()| {
                let message = "nothing of what is written is taken";
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_within(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_within(cx, |io, cx| io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_within(cx, |io, cx| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_within(cx, |io, cx| io.poll_shutdown(cx))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteTimeout<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, sleep},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_little_now_and_then_is_waited_for() {
        let (near, mut far) = duplex(4);
        let mut near = WriteTimeout::new(near, LIMIT);
        let take = async {
            for _ in 0..20 {
                sleep(LIMIT / 2).await;
                far.read_u8().await.unwrap();
            }
            far
        };
        let (written, _far) = tokio::join!(near.write_all(&[0; 24]), take);
        written.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_the_limit_is_not_and_pauses_of_ours_do_not_count() {
        let (near, _far) = duplex(4);
        let mut near = WriteTimeout::new(near, LIMIT);
        for _ in 0..4 {
            near.write_all(b"1").await.unwrap();
            sleep(LIMIT).await;
        }
        let start = Instant::now();
        let error = near.write_all(b"5").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), LIMIT);
    }
}
