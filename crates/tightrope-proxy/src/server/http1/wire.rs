//! The socket of a connection, and what is on its way over it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{HalfClose, response};
use crate::{
    h1::{Outbox, Piece, Position, Reader},
    io::take_early,
    server::{RequestBodyError, interim::MAX_WAITING},
    splice::Takes,
};

/// A connection, as it is shared by the task that serves it and who has something of a request.
pub(super) struct Shared<T> {
    wire: Mutex<Wire<T>>,
}

pub(super) struct Wire<T> {
    pub(super) io: T,
    pub(super) reader: Reader,
    pub(super) outbox: Outbox,
    pub(super) body: Incoming,
    /// The client sends its body once it is told to.
    pub(super) is_awaiting_continue: bool,
    /// Nobody reads the body any more.
    pub(super) is_abandoned: bool,
    /// Which request it is.
    pub(super) request: u64,
    /// Whether it is answered already.
    pub(super) is_answered: bool,
    /// The task of the connection, where it waits for the end of the body.
    pub(super) waker: Option<Waker>,
}

/// What of the body of a request is still to come.
#[derive(Debug)]
pub(super) enum Incoming {
    Done,
    Coming(Position),
    /// Nobody knows where it ends, or it came to no end.
    Broken,
}

/// A connection whose kind does not matter.
pub(in crate::server) trait Line: Send + Sync {
    /// The next piece of the body of the request.
    fn poll_piece(
        &self,
        takes: Takes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, RequestBodyError>>;

    /// Nobody reads the body any more.
    fn abandon(&self);

    /// Sends an interim response to this request.
    fn send_interim(&self, request: u64, status: StatusCode, fields: &HeaderMap);

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

// === impl Shared ===

impl<T> Shared<T> {
    pub(super) fn new(io: T, read: BytesMut) -> Self {
        let wire = Wire {
            io,
            reader: Reader::after(read),
            outbox: Outbox::default(),
            body: Incoming::Done,
            is_awaiting_continue: false,
            is_abandoned: false,
            request: 0,
            is_answered: true,
            waker: None,
        };
        Self {
            wire: Mutex::new(wire),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Wire<T>> {
        // A panic within a read or write ends the task that made it, and what is left fails or waits for its time.
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Line for Shared<T> {
    fn poll_piece(
        &self,
        takes: Takes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, RequestBodyError>> {
        self.lock().poll_piece(takes, cx)
    }

    fn abandon(&self) {
        let mut wire = self.lock();
        if wire.is_being_read() {
            wire.is_abandoned = true;
            wire.wake();
        }
    }

    fn send_interim(&self, request: u64, status: StatusCode, fields: &HeaderMap) {
        let mut wire = self.lock();
        let may = wire.request == request && !wire.is_answered;
        if may && wire.outbox.buffered() <= MAX_WAITING {
            response::encode_interim(status, fields, wire.outbox.buffer());
            wire.wake();
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.lock();
        let early = &mut wire.reader.bytes;
        if early.is_empty() {
            return Pin::new(&mut wire.io).poll_read(cx, buf);
        }
        take_early(early, buf);
        Poll::Ready(Ok(()))
    }

    fn poll_write(&self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.lock().io).poll_write_vectored(cx, slices)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().io).poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().io).poll_shutdown(cx)
    }
}

// === impl Wire ===

impl<T> Wire<T> {
    /// A request without a body.
    pub(super) fn begin(&mut self, expects_continue: bool) {
        self.body = Incoming::Done;
        self.request += 1;
        self.is_answered = false;
        self.is_abandoned = false;
        self.is_awaiting_continue = expects_continue;
    }

    /// The task of the connection waits for something of the request.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker @ None => *waker = Some(cx.waker().clone()),
        }
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Whether all of the request was read.
    pub(super) const fn is_read(&self) -> bool {
        matches!(self.body, Incoming::Done)
    }

    /// Whether there is somebody who still reads the request.
    pub(super) const fn is_being_read(&self) -> bool {
        matches!(self.body, Incoming::Coming(_)) && !self.is_abandoned
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Wire<T> {
    fn poll_piece(
        &mut self,
        takes: Takes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, RequestBodyError>> {
        if self.is_awaiting_continue && self.reader.bytes.is_empty() && !self.is_answered {
            self.is_awaiting_continue = false;
            let none = HeaderMap::new();
            response::encode_interim(StatusCode::CONTINUE, &none, self.outbox.buffer());
            // What cannot go out now is for the task of the connection.
            let _written = self.poll_flush(cx)?;
        }
        let position = match &mut self.body {
            Incoming::Done => return Poll::Ready(Ok(None)),
            Incoming::Broken => return Poll::Ready(Err(RequestBodyError::unknown())),
            Incoming::Coming(position) => position,
        };
        let read = ready!(self.reader.poll_piece(&mut self.io, position, takes, cx));
        let next = match &read {
            Ok(Some(Piece::Data(_))) if !position.is_end() => None,
            Ok(_) => Some(Incoming::Done),
            Err(_) => Some(Incoming::Broken),
        };
        if let Some(next) = next {
            self.body = next;
            // On the task of the connection itself there is nothing to tell.
            let is_here = |waker: &Waker| waker.will_wake(cx.waker());
            if !self.waker.as_ref().is_some_and(is_here) {
                self.wake();
            }
        }
        Poll::Ready(read.map_err(Into::into))
    }

    /// Writes all that is to be written, and flushes it.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outbox.poll_write_all(&mut self.io, cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Whether the client is gone. Nothing is read beyond what fits into a buffer.
    pub(super) fn poll_gone(&mut self, end: HalfClose, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_read() || !self.reader.bytes.is_empty() {
            return Poll::Pending;
        }
        match ready!(self.reader.poll_first(&mut self.io, cx)) {
            Ok(1..) => Poll::Pending,
            Ok(0) if end == HalfClose::Answered => Poll::Pending,
            Ok(0) | Err(_) => Poll::Ready(()),
        }
    }

    /// Whether another request may follow this one. Of a body that nobody wants, what has come is read without waiting
    /// for more.
    pub(super) fn may_be_followed(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..MAX_DISCARDED {
            if !self.is_abandoned || !matches!(self.body, Incoming::Coming(_)) {
                break;
            }
            if self.poll_piece(Takes::Bytes, cx).is_pending() {
                return false;
            }
        }
        match self.body {
            Incoming::Done => true,
            Incoming::Coming(_) => !self.is_abandoned,
            Incoming::Broken => false,
        }
    }

    /// Whether the client has sent something that was not read, or is within a request, of which more may come.
    pub(super) fn is_being_sent(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_read() || !self.reader.bytes.is_empty() {
            return true;
        }
        matches!(
            self.reader.poll_first(&mut self.io, cx),
            Poll::Ready(Ok(1..))
        )
    }
}

/// How many pieces of a body are read for nothing.
const MAX_DISCARDED: usize = 8;
