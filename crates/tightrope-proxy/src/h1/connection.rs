//! One connection.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use http::Response;
use tokio::{
    io::{AsyncRead, ReadBuf, ReadHalf, WriteHalf, split},
    time::Instant,
};

use super::{
    Writer,
    head::{self, Place},
    known::Known,
    reader::{Piece, Position, ReadError, Reader},
    writer::WriteError,
};
use crate::{
    io::{Early, Io},
    splice::Takes,
    timeout::IdleTimer,
};

/// A connection to an endpoint; dropping it closes it.
///
/// It goes about in a box: a response is moved through many layers, and its connection with it.
#[derive(Debug)]
pub(crate) struct Connection {
    io: Side,
    reader: Reader,
    /// Whether anything was received since a request went out.
    has_received: bool,
    /// For the next head that goes out.
    buffer: Vec<u8>,
    /// For the next head that comes in.
    places: Vec<Place>,
    known: Known,
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

/// The longest head that is read.
const MAX_HEAD: usize = 128 * 1024;

// === impl Connection ===

impl Connection {
    pub(crate) fn new(io: Io) -> Box<Self> {
        Box::new(Self {
            io: Side::Both(io),
            reader: Reader::new(),
            has_received: false,
            buffer: Vec::new(),
            places: Vec::new(),
            known: Known::default(),
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
        self.reader.bytes.is_empty() && Pin::new(io).poll_read(&mut context, &mut byte).is_pending()
    }

    /// Nothing is asked for a while: gives back what only much data needed.
    pub(crate) fn rest(&mut self) {
        self.reader.rest();
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

    /// The next head: of the response, or of an interim one before it.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, ReadError>> {
        loop {
            if !self.reader.bytes.is_empty()
                && let Some(response) =
                    head::take(&mut self.reader.bytes, &mut self.places, &mut self.known)?
            {
                return Poll::Ready(Ok(response));
            }
            if self.reader.bytes.len() > MAX_HEAD {
                return Poll::Ready(Err(ReadError::TooLong(MAX_HEAD)));
            }
            if ready!(self.reader.poll_fill(&mut self.io, cx))? == 0 {
                return Poll::Ready(Err(ReadError::Closed));
            }
            self.has_received = true;
        }
    }

    /// The next piece of the body; none at its end.
    pub(crate) fn poll_piece(
        &mut self,
        position: &mut Position,
        takes: Takes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, ReadError>> {
        match &mut self.io {
            Side::Both(io) => self.reader.poll_piece(io, position, takes, cx),
            Side::Reading(io) => self.reader.poll_piece(io, position, takes, cx),
        }
    }

    /// What the connection is after it switched protocols. None while the request still goes out.
    pub(crate) fn into_tunnel(self) -> Option<Early<Io>> {
        match self.io {
            Side::Both(io) => Some(Early {
                io,
                early: self.reader.bytes,
            }),
            Side::Reading(_) => None,
        }
    }
}

// === impl Side ===

impl AsyncRead for Side {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Both(io) => Pin::new(io).poll_read(cx, buf),
            Self::Reading(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}
