//! The request body on its way out.

use std::{
    any::Any,
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tightrope_upstream::{Failure, Pick};
use tokio::time::Instant;

use crate::{
    ForwardError,
    error::BoxError,
    hop_by_hop,
    splice::SplicedData,
    timeout::{Credit, IdleTimer},
};

/// A request body as connections send it: of one type, whatever the request's own is. It goes about in a box, as most
/// requests have none and should not carry its weight.
pub(crate) struct Outgoing {
    body: Inner,
    /// What comes before the rest.
    first: Option<Box<First>>,
}

/// The first piece of a body, which was taken and given back.
#[derive(Debug)]
pub(crate) enum First {
    Data(Bytes),
    /// There is nothing but trailers, and perhaps not those.
    End(HeaderMap),
}

enum Inner {
    Empty,
    /// Not polled yet, so that it can be given back as what it was.
    Unsent(Box<dyn AnyBody>, Arc<Upload>, Pace),
    Started(Pin<Box<dyn AnyBody>>, Arc<Upload>, Pace, IdleTimer),
}

/// How long the client is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Each time.
    pub(crate) limit: Duration,
    /// All together, where it must not be too slow.
    pub(crate) credit: Option<Credit>,
}

/// [`Body`], of any error, which can be told what it really is.
trait AnyBody: Any + Send {
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<SplicedData>, BoxError>>>;
}

/// What the other parts of an exchange know of its upload.
#[derive(Debug)]
pub(crate) struct Upload {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    turn: Turn,
    /// Since when it is somebody's turn.
    since: Instant,
    error: Option<ForwardError>,
    /// The pick, where the response ended first.
    held: Option<Pick>,
}

/// Who is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The client is to send more.
    Client,
    /// The endpoint is to take more.
    Endpoint,
    /// All was sent, or no more will be.
    Over,
}

/// Tells the writer that the body failed; the reason is in the [`Upload`].
#[derive(Debug, thiserror::Error)]
#[error("request body failed")]
pub(crate) struct UploadError;

// === impl Outgoing ===

impl Outgoing {
    /// `body`, within which the client is waited for as `pace` says.
    pub(crate) fn new<B>(body: B, upload: Arc<Upload>, pace: Pace) -> Box<Self>
    where
        B: Body<Data: Into<SplicedData>> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Box::new(Self {
            body: Inner::Unsent(Box::new(body), upload, pace),
            first: None,
        })
    }

    /// Takes back what was taken from it first.
    pub(crate) fn give_back(&mut self, first: Box<First>) {
        self.first = Some(first);
    }

    /// This, where nothing was taken from it.
    pub(crate) fn into_whole(self: Box<Self>) -> Option<Box<Self>> {
        (matches!(self.body, Inner::Unsent(..)) || self.first.is_some()).then_some(self)
    }

    /// The body that it was made from, where nothing was taken from it.
    pub(crate) fn into_unsent<B: 'static>(mut self) -> Option<B> {
        match mem::replace(&mut self.body, Inner::Empty) {
            Inner::Unsent(body, ..) => {
                let body: Box<dyn Any> = body;
                body.downcast().ok().map(|body| *body)
            }
            _ => None,
        }
    }

    fn start(&mut self) {
        self.body = match mem::replace(&mut self.body, Inner::Empty) {
            Inner::Unsent(body, upload, pace) => {
                Inner::Started(Box::into_pin(body), upload, pace, IdleTimer::default())
            }
            other => other,
        };
    }
}

impl Body for Outgoing {
    type Data = SplicedData;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<SplicedData>, UploadError>>> {
        match self.first.take().map(|first| *first) {
            None => {}
            Some(First::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data.into())))),
            Some(First::End(trailers)) => {
                self.body = Inner::Empty;
                let trailers = (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)));
                return Poll::Ready(trailers);
            }
        }
        self.start();
        let Inner::Started(body, upload, pace, idle) = &mut self.body else {
            return Poll::Ready(None);
        };
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(credit) = &mut pace.credit {
                    credit.earn(frame.data_ref().map_or(0, SplicedData::len), idle.waited());
                }
                idle.progress();
                upload.turn(Turn::Endpoint);
                if let Some(trailers) = frame.trailers_mut() {
                    hop_by_hop::strip_trailers(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                upload.fail(ForwardError::new(Failure::Downstream).with_source(error));
                Poll::Ready(Some(Err(UploadError)))
            }
            Poll::Ready(None) => {
                upload.turn(Turn::Over);
                Poll::Ready(None)
            }
            Poll::Pending => {
                upload.turn(Turn::Client);
                let credit = pace.credit.as_ref();
                let limit = credit.map_or(pace.limit, |c| c.patience(pace.limit));
                idle.poll_expired(limit, cx).map(|()| {
                    upload.fail(ForwardError::new(Failure::DownstreamTimeout));
                    Some(Err(UploadError))
                })
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Inner::Unsent(_, upload, ..) | Inner::Started(_, upload, ..) = &self.body {
            upload.finish();
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

impl<B> AnyBody for B
where
    B: Body<Data: Into<SplicedData>> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<SplicedData>, BoxError>>> {
        let frame = Body::poll_frame(self, cx);
        frame
            .map_ok(|frame| frame.map_data(Into::into))
            .map_err(Into::into)
    }
}

// === impl Upload ===

impl Upload {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                turn: Turn::Endpoint,
                since: Instant::now(),
                error: None,
                held: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, turn: Turn) {
        let mut state = self.lock();
        // A client that sends nothing keeps its turn.
        if turn == Turn::Endpoint || state.turn != turn {
            state.turn = turn;
            state.since = Instant::now();
        }
    }

    fn fail(&self, error: ForwardError) {
        self.lock().error = Some(error);
    }

    fn finish(&self) {
        let held = {
            let mut state = self.lock();
            if state.turn != Turn::Over {
                state.turn = Turn::Over;
                state.since = Instant::now();
            }
            state.held.take()
        };
        drop(held);
    }

    /// How much longer the endpoint may take, of `limit` for each of its turns.
    pub(crate) fn patience(&self, limit: Duration) -> Duration {
        let state = self.lock();
        match state.turn {
            Turn::Client => limit,
            Turn::Endpoint | Turn::Over => limit.saturating_sub(state.since.elapsed()),
        }
    }

    /// Whether it is the client who is to send more.
    pub(crate) fn awaits_client(&self) -> bool {
        self.lock().turn == Turn::Client
    }

    /// Why the upload failed, if it did; told once.
    pub(crate) fn take_error(&self) -> Option<ForwardError> {
        self.lock().error.take()
    }

    /// Releases `pick` when the upload is over.
    pub(crate) fn hold(&self, pick: Pick) {
        let mut state = self.lock();
        if state.turn == Turn::Over {
            drop(state);
            drop(pick);
        } else {
            state.held = Some(pick);
        }
    }
}
