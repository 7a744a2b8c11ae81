//! The body of a request.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{http1::Line, http2::Inflow};
use crate::{
    h1::{Piece, ReadError},
    splice::{Spliced, SplicedData, Takes},
};

/// The body of a request, as it comes.
///
/// It is read from the connection by whoever polls it, on whatever task. A client that expects a `100 Continue` gets it
/// when this is first polled.
///
/// # Cancellation
/// Dropping it before its end gives the rest of the body up. Over HTTP/1.1 the connection is closed after the response,
/// unless all of the body has come by then; over HTTP/2 the stream is reset after it, with NO_ERROR.
pub struct RequestBody {
    /// None where there is nothing more. In a box: most requests have none, and all are moved through many layers.
    coming: Option<Box<Coming>>,
}

/// A body that is not at its end.
struct Coming {
    source: Source,
    /// How much comes, if that is known.
    left: Option<u64>,
}

enum Source {
    Http1(Arc<dyn Line>),
    Http2(Inflow),
}

/// Why the body of a request did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct RequestBodyError(Kind);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("the request body was not read")]
    Read(#[source] ReadError),
    #[error("the client gave the request up")]
    Reset(#[source] h2::Error),
    #[error("the request body did not come to its end")]
    Broken(#[source] h2::Error),
    #[error("nobody knows where the request body ends")]
    Unknown,
}

// === impl RequestBody ===

impl RequestBody {
    /// There is none.
    #[must_use]
    pub const fn empty() -> Self {
        Self { coming: None }
    }

    pub(super) fn http1(line: Arc<dyn Line>, left: Option<u64>) -> Self {
        Self::new(Source::Http1(line), left)
    }

    pub(super) fn http2(inflow: Inflow, left: Option<u64>) -> Self {
        Self::new(Source::Http2(inflow), left)
    }

    fn new(source: Source, left: Option<u64>) -> Self {
        let coming = Coming { source, left };
        Self {
            coming: Some(Box::new(coming)),
        }
    }

    fn poll_spliced(
        &mut self,
        takes: Takes,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<SplicedData>, RequestBodyError>>> {
        let Some(coming) = &mut self.coming else {
            return Poll::Ready(None);
        };
        let (piece, may_have_trailers) = match &mut coming.source {
            Source::Http1(line) => (ready!(line.poll_piece(takes, cx)), false),
            Source::Http2(inflow) => {
                let piece = ready!(inflow.poll_piece(cx));
                (piece.map_err(Into::into), true)
            }
        };
        let frame = match piece {
            Ok(Some(Piece::Data(data))) => {
                if let Some(left) = &mut coming.left {
                    *left = left.saturating_sub(data.len() as u64);
                }
                if coming.left == Some(0) && !may_have_trailers {
                    self.coming = None;
                }
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Ok(Some(Piece::Trailers(trailers))) => Some(Ok(Frame::trailers(trailers))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        };
        self.coming = None;
        Poll::Ready(frame)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let frame = self.poll_spliced(Takes::Bytes, cx);
        frame.map_ok(|frame| frame.map_data(Bytes::from))
    }

    fn is_end_stream(&self) -> bool {
        match &self.coming {
            None => true,
            Some(coming) => match &coming.source {
                Source::Http1(_) => false,
                Source::Http2(inflow) => inflow.is_end(),
            },
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.coming {
            None => SizeHint::with_exact(0),
            Some(coming) => coming.left.map_or_else(SizeHint::new, SizeHint::with_exact),
        }
    }
}

impl Body for Spliced<RequestBody> {
    type Data = SplicedData;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<SplicedData>, RequestBodyError>>> {
        self.body.poll_spliced(Takes::now(), cx)
    }

    fn is_end_stream(&self) -> bool {
        self.get_ref().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.get_ref().size_hint()
    }
}

// === impl Coming ===

impl Drop for Coming {
    fn drop(&mut self) {
        if let Source::Http1(line) = &self.source {
            line.abandon();
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("is_end_stream", &self.is_end_stream())
            .field("size_hint", &self.size_hint())
            .finish_non_exhaustive()
    }
}

// === impl RequestBodyError ===

impl RequestBodyError {
    /// Whether the client of HTTP/2 gave the request up, on a connection that goes on.
    #[must_use]
    pub const fn is_reset(&self) -> bool {
        matches!(self.0, Kind::Reset(_))
    }

    pub(super) const fn unknown() -> Self {
        Self(Kind::Unknown)
    }
}

impl From<ReadError> for RequestBodyError {
    fn from(error: ReadError) -> Self {
        Self(Kind::Read(error))
    }
}

impl From<h2::Error> for RequestBodyError {
    fn from(error: h2::Error) -> Self {
        Self(match error.is_reset() && error.is_remote() {
            true => Kind::Reset(error),
            false => Kind::Broken(error),
        })
    }
}

impl From<std::io::Error> for RequestBodyError {
    fn from(error: std::io::Error) -> Self {
        ReadError::Io(error).into()
    }
}
