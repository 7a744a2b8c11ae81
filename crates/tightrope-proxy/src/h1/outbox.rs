//! What is written to a connection.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::splice::{self, Filled, SplicedData};

/// Bytes on their way out: those of a buffer, and after them one piece of a body.
#[derive(Default)]
pub(crate) struct Outbox {
    out: Vec<u8>,
    written: usize,
    data: Bytes,
    /// In place of data.
    piped: Option<Filled>,
    /// What goes after either.
    tail: &'static [u8],
}

/// Pieces up to here go through the buffer: to copy one costs less than to write it apart.
const SMALL: usize = 1024;

/// How much goes out in one write, where it comes in small pieces.
const ENOUGH: usize = 16 * 1024;

impl Outbox {
    /// With the memory of `buffer`.
    pub(crate) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self {
            out: buffer,
            ..Self::default()
        }
    }

    /// The memory of the buffer.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.out
    }

    /// Whether all was written.
    pub(crate) const fn is_empty(&self) -> bool {
        self.written == self.out.len() && !self.has_data()
    }

    /// Whether there is a piece after the buffer, at which nothing can be added to that.
    pub(crate) const fn has_data(&self) -> bool {
        !self.data.is_empty() || !self.tail.is_empty() || self.piped.is_some()
    }

    /// Whether another piece is welcome before what is there was written.
    pub(crate) const fn has_room(&self) -> bool {
        !self.has_data() && self.buffered() < ENOUGH
    }

    /// How much of the buffer is not written, in bytes.
    pub(crate) const fn buffered(&self) -> usize {
        self.out.len() - self.written
    }

    /// The buffer, to which something can be added as long as there is no piece.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        &mut self.out
    }

    /// Adds a piece, and `tail` after it.
    pub(crate) fn put(&mut self, data: SplicedData, tail: &'static [u8]) {
        let data = match data.into_pipe() {
            Ok(filled) => {
                (self.piped, self.tail) = (Some(filled), tail);
                return;
            }
            Err(data) => data,
        };
        if data.len() <= SMALL {
            let buffer = self.buffer();
            buffer.extend_from_slice(&data);
            buffer.extend_from_slice(tail);
        } else {
            (self.data, self.tail) = (data, tail);
        }
    }

    /// Adds the end of a chunked body without trailers.
    pub(crate) fn put_last_chunk(&mut self) {
        if self.has_data() {
            self.tail = b"\r\n0\r\n\r\n";
        } else {
            self.buffer().extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// Writes what can be written at once; ready when something was, or nothing is left.
    pub(crate) fn poll_write<T: AsyncWrite + Unpin + 'static>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let out = &self.out[self.written..];
        if out.is_empty() && self.piped.is_some() {
            return self.poll_drain(io, cx);
        }
        let written = if self.has_data() && self.piped.is_none() {
            let slices = [out, &self.data, self.tail].map(IoSlice::new);
            Pin::new(io).poll_write_vectored(cx, &slices)
        } else {
            Pin::new(io).poll_write(cx, out)
        };
        let written = ready!(written)?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let head = written.min(out.len());
        self.written += head;
        let data = (written - head).min(self.data.len());
        self.data.advance(data);
        self.tail = &self.tail[written - head - data..];
        Poll::Ready(Ok(()))
    }

    /// Writes some of what is in the pipe.
    fn poll_drain<T: AsyncWrite + Unpin + 'static>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(filled) = &mut self.piped else {
            return Poll::Ready(Ok(()));
        };
        let drained = match splice::socket(io) {
            Some(socket) => ready!(socket.poll_drain(filled, cx)),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        match drained {
            Err(error) if splice::is_refusal(&error) => self.data = filled.read(),
            Err(error) => return Poll::Ready(Err(error)),
            Ok(()) if filled.len() > 0 => return Poll::Ready(Ok(())),
            Ok(()) => {}
        }
        self.piped = None;
        Poll::Ready(Ok(()))
    }

    /// Ready when nothing is left.
    pub(crate) fn poll_write_all<T: AsyncWrite + Unpin + 'static>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            ready!(self.poll_write(io, cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the buffer back, of which all is written.
    pub(crate) fn rest(&mut self) {
        self.out = Vec::new();
        self.written = 0;
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("buffered", &self.buffered())
            .field("has_data", &self.has_data())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[tokio::test]
    async fn what_is_in_a_pipe_reaches_what_is_no_socket_between_what_is_around_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut near, (mut far, _)) =
            tokio::try_join!(TcpStream::connect(address), listener.accept()).unwrap();
        far.write_all(b"data, and more").await.unwrap();
        let socket = splice::socket(&mut near).unwrap();
        let filled = poll_fn(|cx| socket.poll_fill(4, cx)).await;
        let mut outbox = Outbox::default();
        outbox.buffer().extend_from_slice(b"4\r\n");
        outbox.put(SplicedData::piped(filled.unwrap().unwrap()), b"\r\n");
        outbox.put_last_chunk();
        let (mut out, mut received) = duplex(2);
        let write = async {
            let written = poll_fn(|cx| outbox.poll_write_all(&mut out, cx)).await;
            drop(out);
            written
        };
        let mut text = String::new();
        let (written, read) = tokio::join!(write, received.read_to_string(&mut text));
        written.unwrap();
        read.unwrap();
        assert_eq!(text, "4\r\ndata\r\n0\r\n\r\n");
    }
}
