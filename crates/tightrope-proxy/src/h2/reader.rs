//! A response body on its way in.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use h2::{Reason, RecvStream};

use crate::{h1::Piece, pool::Stream, timeout::IdleTimer};

/// The body of a response. Dropping it before its end resets the stream.
#[derive(Debug)]
pub(crate) struct Reader {
    body: RecvStream,
    /// How much is left, where the head said it.
    left: Option<u64>,
    has_data: bool,
    /// Whether the request may still be on its way when this ends.
    is_early: bool,
    /// Gives its place to another when all is over.
    stream: Arc<Stream>,
    pub(crate) timer: IdleTimer,
}

impl Reader {
    /// `left` is how long the head says that it is.
    pub(crate) fn new(
        body: RecvStream,
        left: Option<u64>,
        is_early: bool,
        stream: Arc<Stream>,
    ) -> Self {
        Self {
            has_data: !body.is_end_stream(),
            body,
            left,
            is_early,
            stream,
            timer: IdleTimer::default(),
        }
    }

    /// The stream, which whoever still writes to it holds as well.
    pub(crate) const fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Whether nothing more comes, as far as that is known.
    pub(crate) fn is_end(&self) -> bool {
        self.body.is_end_stream()
    }

    /// How much comes, if that is known.
    pub(crate) const fn left(&self) -> Option<u64> {
        self.left
    }

    /// The next piece; none at the end.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, h2::Error>> {
        while self.has_data {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Whoever takes it has room for it.
                    self.body.flow_control().release_capacity(data.len())?;
                    if let Some(left) = &mut self.left {
                        *left = left.saturating_sub(data.len() as u64);
                    }
                    if !data.is_empty() {
                        return Poll::Ready(Ok(Some(Piece::Data(data.into()))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(self.ended(error)),
                None => self.has_data = false,
            }
        }
        match ready!(self.body.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(Ok(trailers.map(Piece::Trailers))),
            Err(error) => Poll::Ready(self.ended(error)),
        }
    }

    /// RFC 9113 §8.1: after a complete response an endpoint may ask for no more of the request, by a reset that
    /// is no error.
    fn ended(&self, error: h2::Error) -> Result<Option<Piece>, h2::Error> {
        let is_asked = self.is_early
            && self.left.is_none_or(|left| left == 0)
            && error.is_reset()
            && error.reason() == Some(Reason::NO_ERROR);
        if is_asked { Ok(None) } else { Err(error) }
    }
}
