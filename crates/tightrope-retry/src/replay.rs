//! Bodies that can be sent more than once.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::error::BoxError;

/// The body of an attempt: what the service inside a [`Retry`](crate::Retry) is given.
///
/// Of a body that may have to be sent again what was read is kept, up to a bound. One that grows
/// past it is streamed on, what was kept is let go, and the request is not sent again. Nothing is
/// read before the service inside asks for it. A body of which nothing is kept is passed on as it is.
///
/// It keeps [`Bytes`] as they came, without copying them; a piece may hold on to the buffer that
/// it was read into.
pub struct Replay<B> {
    source: Source<B>,
}

enum Source<B> {
    /// Only this attempt sends it.
    Once(B),
    /// Another attempt sent the same.
    Empty,
    Tape(Reader<B>),
}

struct Reader<B> {
    tape: Arc<Tape<B>>,
    /// How many of the kept pieces it has read.
    position: usize,
    /// Only the newest reader reads what is not kept yet.
    number: usize,
}

/// A body and what was read of it.
pub(crate) struct Tape<B> {
    state: Mutex<State<B>>,
}

struct State<B> {
    body: B,
    pieces: Vec<Piece>,
    /// How many more bytes may be kept; none once there were too many, or the body failed.
    room: Option<usize>,
    is_over: bool,
    /// How many readers there were.
    readers: usize,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// What makes bodies for further attempts.
pub(crate) enum Kept<B> {
    Empty,
    Tape(Arc<Tape<B>>),
}

/// Why the body of an attempt broke off that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another attempt sends the rest of the body")]
struct Superseded;

// === impl Replay ===

impl<B> Replay<B> {
    /// A body that is sent once.
    pub(crate) const fn once(body: B) -> Self {
        Self {
            source: Source::Once(body),
        }
    }
}

impl<B: Body> Replay<B> {
    /// The body of a first attempt, and what makes the next ones where it has at most `limit`
    /// bytes as far as it says.
    pub(crate) fn keep(body: B, limit: usize) -> (Self, Option<Kept<B>>) {
        if body.is_end_stream() {
            return (Self::once(body), Some(Kept::Empty));
        }
        if limit == 0 || body.size_hint().lower() > limit as u64 {
            return (Self::once(body), None);
        }
        let tape = Arc::new(Tape {
            state: Mutex::new(State {
                body,
                pieces: Vec::new(),
                room: Some(limit),
                is_over: false,
                readers: 0,
            }),
        });
        let kept = Kept::Tape(tape);
        (kept.replay(), Some(kept))
    }
}

impl<B> Body for Replay<B>
where
    B: Body<Data: From<Bytes>> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        match &mut self.source {
            Source::Once(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::Empty => Poll::Ready(None),
            Source::Tape(reader) => reader.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Once(body) => body.is_end_stream(),
            Source::Empty => true,
            Source::Tape(reader) => {
                let state = reader.tape.lock();
                reader.position >= state.pieces.len()
                    && (state.is_over || state.body.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Once(body) => body.size_hint(),
            Source::Empty => SizeHint::with_exact(0),
            Source::Tape(reader) => {
                let state = reader.tape.lock();
                let kept: u64 = state
                    .pieces
                    .iter()
                    .skip(reader.position)
                    .map(Piece::len)
                    .sum();
                let rest = state.body.size_hint();
                let mut hint = SizeHint::new();
                if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(kept)) {
                    hint.set_upper(upper);
                }
                hint.set_lower(rest.lower().saturating_add(kept));
                hint
            }
        }
    }
}

impl<B> fmt::Debug for Replay<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Once(_) => "once",
            Source::Empty => "empty",
            Source::Tape(_) => "kept",
        };
        f.debug_struct("Replay").field("is", &source).finish()
    }
}

// === impl Reader ===

impl<B> Reader<B>
where
    B: Body<Data: From<Bytes>> + Unpin,
    B::Error: Into<BoxError>,
{
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let state = &mut *self.tape.lock();
        if let Some(piece) = state.pieces.get(self.position) {
            self.position += 1;
            return Poll::Ready(Some(Ok(piece.frame())));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        if self.number != state.readers {
            return Poll::Ready(Some(Err(Superseded.into())));
        }
        let polled = ready!(Pin::new(&mut state.body).poll_frame(cx));
        Poll::Ready(match polled {
            None => {
                state.is_over = true;
                None
            }
            Some(Ok(frame)) => {
                let frame = state.keep(frame);
                self.position = state.pieces.len();
                state.is_over = state.body.is_end_stream();
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                state.let_go();
                Some(Err(error.into()))
            }
        })
    }
}

// === impl Tape ===

impl<B> Tape<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        // A body that panicked is not asked again: its reader is gone.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> State<B> {
    /// Keeps what is in `frame`, if there is room.
    fn keep<D: Buf + From<Bytes>>(&mut self, frame: Frame<D>) -> Frame<D> {
        let length = frame.data_ref().map_or(0, Buf::remaining);
        let room = self.room.and_then(|room| room.checked_sub(length));
        if room.is_none() {
            self.let_go();
            return frame;
        }
        let piece = match frame.into_data() {
            Ok(mut data) => Piece::Data(data.copy_to_bytes(length)),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Piece::Trailers(trailers),
                Err(frame) => {
                    self.let_go();
                    return frame;
                }
            },
        };
        self.room = room;
        let frame = piece.frame();
        self.pieces.push(piece);
        frame
    }

    fn let_go(&mut self) {
        self.room = None;
        self.pieces = Vec::new();
    }
}

// === impl Piece ===

impl Piece {
    /// Trailers count as nothing: a server bounds them already.
    const fn len(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Trailers(_) => 0,
        }
    }

    fn frame<D: From<Bytes>>(&self) -> Frame<D> {
        match self {
            Self::Data(data) => Frame::data(data.clone().into()),
            Self::Trailers(trailers) => Frame::trailers(trailers.clone()),
        }
    }
}

// === impl Kept ===

impl<B> Kept<B> {
    /// Makes sure that all that was read so far stays there: nobody reads on until the next replay
    /// does. False, and nothing changed, if something is gone already.
    pub(crate) fn claim(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Tape(tape) => {
                let mut state = tape.lock();
                let is_there = state.room.is_some();
                state.readers += usize::from(is_there);
                is_there
            }
        }
    }

    /// Whether the whole body is there, so that two attempts can send it at the same time.
    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Tape(tape) => {
                let state = tape.lock();
                state.room.is_some() && state.is_over
            }
        }
    }

    /// The same body from its start. What is not read of it yet is for this one.
    pub(crate) fn replay(&self) -> Replay<B> {
        let source = match self {
            Self::Empty => Source::Empty,
            Self::Tape(tape) => {
                let mut state = tape.lock();
                state.readers += 1;
                Source::Tape(Reader {
                    tape: Arc::clone(tape),
                    position: 0,
                    number: state.readers,
                })
            }
        };
        Replay { source }
    }
}
