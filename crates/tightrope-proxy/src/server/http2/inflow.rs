//! The body of a request on its way in.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use h2::RecvStream;
use http::{HeaderMap, StatusCode};

use super::reply::Reply;
use crate::h1::Piece;

/// The body of a request over HTTP/2.
///
/// Dropping it lets the rest of it go: what comes is thrown away, and once the response is complete the stream is reset
/// with `NO_ERROR`, if there is still a rest (RFC 9113 §8.1).
pub(in crate::server) struct Inflow {
    body: RecvStream,
    has_data: bool,
    /// Where the client sends its body once it is told to.
    awaiting_continue: Option<Arc<Reply>>,
}

impl Inflow {
    pub(super) const fn new(body: RecvStream, awaiting_continue: Option<Arc<Reply>>) -> Self {
        Self {
            body,
            has_data: true,
            awaiting_continue,
        }
    }

    /// Whether nothing more comes, as far as that is known.
    pub(in crate::server) fn is_end(&self) -> bool {
        self.body.is_end_stream()
    }

    /// The next piece; none at the end.
    pub(in crate::server) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, h2::Error>> {
        while self.has_data {
            let Poll::Ready(data) = self.body.poll_data(cx) else {
                if let Some(reply) = self.awaiting_continue.take() {
                    reply.send_interim(StatusCode::CONTINUE, &HeaderMap::new());
                }
                return Poll::Pending;
            };
            match data {
                Some(data) => {
                    let data = data?;
                    // Whoever takes it has room for it.
                    self.body.flow_control().release_capacity(data.len())?;
                    if !data.is_empty() {
                        self.awaiting_continue = None;
                        return Poll::Ready(Ok(Some(Piece::Data(data.into()))));
                    }
                }
                None => self.has_data = false,
            }
        }
        let trailers = ready!(self.body.poll_trailers(cx))?;
        Poll::Ready(Ok(trailers.map(Piece::Trailers)))
    }
}
