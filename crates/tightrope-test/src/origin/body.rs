//! A body that comes in pieces, with pauses between them.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::state::Open;

/// A body that comes in pieces; holds its request open until it was taken or dropped.
pub(super) struct Pieces {
    rest: VecDeque<Piece>,
    _open: Option<Open>,
}

pub(super) enum Piece {
    Data(Bytes),
    Pause(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// The connection ends here.
    Cut,
}

impl Pieces {
    pub(super) fn new(rest: impl IntoIterator<Item = Piece>, open: Option<Open>) -> Self {
        Self {
            rest: rest.into_iter().collect(),
            _open: open,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        while let Some(piece) = self.rest.front_mut() {
            if let Piece::Pause(pause) = piece {
                ready!(pause.as_mut().poll(cx));
            }
            match self.rest.pop_front() {
                Some(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Piece::Cut) => return Poll::Ready(Some(Err(io::Error::other("cut")))),
                Some(Piece::Pause(_)) | None => {}
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }
}
