//! One connection.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf, split},
    time::Instant,
};
use tokio_util::io::poll_read_buf;

use super::{
    Framing, Writer,
    chunked::{ChunkError, Chunked, Decoded},
    framing::take_part,
    head::{self, HeadError, Place},
    writer::WriteError,
};
use crate::{io::Io, timeout::IdleTimer};

/// A connection to an endpoint; dropping it closes it.
///
/// It goes about in a box: a response is moved through many layers, and its connection with it.
#[derive(Debug)]
pub(crate) struct Connection {
    io: Side,
    read: BytesMut,
    /// How much is read at a time.
    step: usize,
    /// Whether anything was received since a request went out.
    has_received: bool,
    /// For the next head that goes out.
    buffer: Vec<u8>,
    /// For the next head that comes in.
    places: Vec<Place>,
    since: Instant,
    /// Measures how long the endpoint keeps us waiting, request after request.
    pub(crate) timer: IdleTimer,
}

/// What of a socket is here.
#[derive(Debug)]
enum Side {
    Both(Io),
    /// The other half still writes.
    Reading(ReadHalf<Io>),
}

/// Where in a body we are.
#[derive(Debug)]
pub(crate) enum Position {
    Length(u64),
    Chunked(Chunked),
    Close,
}

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// A connection that speaks something else now, and what was read of that already.
#[derive(Debug)]
pub(crate) struct Tunnel {
    io: Io,
    read: BytesMut,
}

/// Why a response or its body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("connection was closed before the response was complete")]
    Closed,
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error("response head is longer than {MAX_HEAD} bytes")]
    TooLong,
    #[error("more than {MAX_INTERIM} interim responses")]
    Interim,
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

/// The longest head that is read.
const MAX_HEAD: usize = 128 * 1024;

/// How many interim responses (1xx) may come before the response.
const MAX_INTERIM: usize = 32;

/// How much is read at a time: no more than is useful where little comes, and no less where much does.
const MIN_STEP: usize = 8 * 1024;
const MAX_STEP: usize = 256 * 1024;

// === impl Connection ===

impl Connection {
    pub(crate) fn new(io: Io) -> Box<Self> {
        Box::new(Self {
            io: Side::Both(io),
            read: BytesMut::new(),
            step: MIN_STEP,
            has_received: false,
            buffer: Vec::new(),
            places: Vec::new(),
            since: Instant::now(),
            timer: IdleTimer::default(),
        })
    }

    /// Since when it is open.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Whether a request can go out: the connection is open, and nothing came that no request asked for.
    pub(crate) fn is_idle(&mut self) -> bool {
        // Nobody is told when that changes.
        let mut context = Context::from_waker(Waker::noop());
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        let io = match &mut self.io {
            Side::Both(io) => io,
            Side::Reading(_) => return false,
        };
        self.read.is_empty() && Pin::new(io).poll_read(&mut context, &mut byte).is_pending()
    }

    /// Nothing is asked for a while: gives back what only much data needed.
    pub(crate) fn rest(&mut self) {
        if self.read.is_empty() && self.read.capacity() > MIN_STEP {
            self.read = BytesMut::new();
        }
        self.step = MIN_STEP;
    }

    /// A request begins; for its head.
    pub(crate) fn begin(&mut self) -> Vec<u8> {
        self.has_received = false;
        self.timer.progress();
        mem::take(&mut self.buffer)
    }

    /// The buffer for the next head.
    pub(crate) fn keep(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// Whether anything was received since the request began.
    pub(crate) const fn has_received(&self) -> bool {
        self.has_received
    }

    pub(crate) fn poll_write(
        &mut self,
        writer: &mut Writer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WriteError>> {
        match &mut self.io {
            Side::Both(io) => writer.poll(io, cx),
            Side::Reading(_) => {
                Poll::Ready(Err(io::Error::from(io::ErrorKind::NotConnected).into()))
            }
        }
    }

    /// The half that writes, for a request that is still on its way while its response is read.
    pub(crate) fn split(self) -> (Box<Self>, Option<WriteHalf<Io>>) {
        let Side::Both(io) = self.io else {
            return (Box::new(self), None);
        };
        let (reading, writing) = split(io);
        let io = Side::Reading(reading);
        (Box::new(Self { io, ..self }), Some(writing))
    }

    /// The head of the response. `interim` counts those before it.
    pub(crate) fn poll_head(
        &mut self,
        interim: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, ReadError>> {
        loop {
            while !self.read.is_empty() {
                let Some(response) = head::take(&mut self.read, &mut self.places)? else {
                    break;
                };
                let status = response.status();
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(response));
                }
                *interim += 1;
                if *interim > MAX_INTERIM {
                    return Poll::Ready(Err(ReadError::Interim));
                }
            }
            if self.read.len() > MAX_HEAD {
                return Poll::Ready(Err(ReadError::TooLong));
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(ReadError::Closed));
            }
        }
    }

    /// The next piece of the body; none at its end.
    pub(crate) fn poll_piece(
        &mut self,
        position: &mut Position,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, ReadError>> {
        loop {
            match position {
                Position::Length(0) => return Poll::Ready(Ok(None)),
                Position::Length(left) if !self.read.is_empty() => {
                    let data = take_part(&mut self.read, left);
                    return Poll::Ready(Ok(Some(Piece::Data(data))));
                }
                Position::Close if !self.read.is_empty() => {
                    let data = self.read.split().freeze();
                    return Poll::Ready(Ok(Some(Piece::Data(data))));
                }
                Position::Chunked(chunked) => match chunked.decode(&mut self.read)? {
                    Decoded::Data(data) => return Poll::Ready(Ok(Some(Piece::Data(data)))),
                    Decoded::Trailers(trailers) => {
                        return Poll::Ready(Ok(Some(Piece::Trailers(trailers))));
                    }
                    Decoded::End => return Poll::Ready(Ok(None)),
                    Decoded::More => {}
                },
                Position::Length(_) | Position::Close => {}
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(match position {
                    Position::Close => Ok(None),
                    Position::Length(_) | Position::Chunked(_) => Err(ReadError::Closed),
                });
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < MIN_STEP / 8 {
            self.read.reserve(self.step);
        }
        let count = match &mut self.io {
            Side::Both(io) => poll_read_buf(Pin::new(io), cx, &mut self.read),
            Side::Reading(io) => poll_read_buf(Pin::new(io), cx, &mut self.read),
        };
        let count = ready!(count)?;
        self.has_received |= count > 0;
        if self.read.len() == self.read.capacity() {
            self.step = MAX_STEP.min(self.step * 2);
        } else if count < self.step / 4 {
            self.step = MIN_STEP.max(self.step / 2);
        }
        Poll::Ready(Ok(count))
    }

    /// What the connection is after it switched protocols. None while the request still goes out.
    pub(crate) fn into_tunnel(self) -> Option<Tunnel> {
        match self.io {
            Side::Both(io) => Some(Tunnel {
                io,
                read: self.read,
            }),
            Side::Reading(_) => None,
        }
    }
}

// === impl Position ===

impl Position {
    pub(crate) fn start(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::default()),
            Framing::Close => Self::Close,
        }
    }

    /// How much comes, if that is known.
    pub(crate) const fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::Close => None,
        }
    }

    /// Whether nothing more comes, as far as that is known.
    pub(crate) const fn is_end(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_end(),
            Self::Close => false,
        }
    }
}

// === impl Tunnel ===

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..count]);
        self.read.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[tokio::test]
    async fn what_much_data_needed_is_given_back() {
        const LENGTH: usize = 4 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut connection, mut far) = (Connection::new(Io::Tcp(near.unwrap())), far.unwrap().0);
        tokio::spawn(async move { far.write_all(&vec![b'x'; LENGTH]).await.map(|()| far) });
        let mut position = Position::Length(LENGTH as u64);
        let mut most = 0;
        while let Some(_piece) = poll_fn(|cx| connection.poll_piece(&mut position, cx))
            .await
            .unwrap()
        {
            most = most.max(connection.step);
        }
        assert!(most > MIN_STEP && most <= MAX_STEP, "{most}");
        connection.rest();
        assert!(connection.read.capacity() <= MIN_STEP);
        assert_eq!(connection.step, MIN_STEP);
    }
}
