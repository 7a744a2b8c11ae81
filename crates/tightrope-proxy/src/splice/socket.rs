//! Sockets that bytes can be moved between.

use std::{
    any::Any,
    io::{self, ErrorKind},
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncWrite, Interest},
    net::TcpStream,
};

use super::Filled;
use crate::{LingeringStream, WriteTimeout, io::Io};

/// A socket that the system can move bytes from and to.
pub(crate) trait Socket {
    /// Moves up to `max` bytes into a pipe; none at the end.
    fn poll_fill(&mut self, max: u64, cx: &mut Context<'_>) -> Poll<io::Result<Option<Filled>>>;

    /// Moves bytes from a pipe; ready when some were.
    fn poll_drain(&mut self, filled: &mut Filled, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// The socket that `io` is, or has nothing but itself around.
pub(crate) fn socket<T: 'static>(io: &mut T) -> Option<&mut dyn Socket> {
    let io: &mut dyn Any = io;
    if io.is::<Io>() {
        return match io.downcast_mut()? {
            Io::Tcp(io) => Some(io),
            _ => None,
        };
    }
    if io.is::<WriteTimeout<LingeringStream<TcpStream>>>() {
        let io: &mut WriteTimeout<LingeringStream<TcpStream>> = io.downcast_mut()?;
        return Some(io);
    }
    if io.is::<WriteTimeout<TcpStream>>() {
        let io: &mut WriteTimeout<TcpStream> = io.downcast_mut()?;
        return Some(io);
    }
    if io.is::<LingeringStream<TcpStream>>() {
        let io: &mut LingeringStream<TcpStream> = io.downcast_mut()?;
        return Some(io);
    }
    let io: &mut TcpStream = io.downcast_mut()?;
    Some(io)
}

/// Whether an error says that the system cannot do it, or may not.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unsupported | ErrorKind::InvalidInput | ErrorKind::PermissionDenied
    )
}

impl Socket for TcpStream {
    fn poll_fill(&mut self, max: u64, cx: &mut Context<'_>) -> Poll<io::Result<Option<Filled>>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            // The pipe is empty, so that it is the socket if something must be waited for.
            match self.try_io(Interest::READABLE, || Filled::fill(&*self, max)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                filled => return Poll::Ready(filled),
            }
        }
    }

    fn poll_drain(&mut self, filled: &mut Filled, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_write_ready(cx))?;
            // The pipe is not empty, so that it is the socket here too.
            match self.try_io(Interest::WRITABLE, || filled.drain(&*self)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                drained => return Poll::Ready(drained),
            }
        }
    }
}

impl<T: Socket + Unpin> Socket for LingeringStream<T> {
    fn poll_fill(&mut self, max: u64, cx: &mut Context<'_>) -> Poll<io::Result<Option<Filled>>> {
        self.inner().poll_fill(max, cx)
    }

    fn poll_drain(&mut self, filled: &mut Filled, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_drain(filled, cx)
    }
}

impl<T: Socket + AsyncWrite + Unpin> Socket for WriteTimeout<T> {
    fn poll_fill(&mut self, max: u64, cx: &mut Context<'_>) -> Poll<io::Result<Option<Filled>>> {
        self.get_mut().poll_fill(max, cx)
    }

    fn poll_drain(&mut self, filled: &mut Filled, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_within(cx, |mut io, cx| io.poll_drain(filled, cx))
    }
}
