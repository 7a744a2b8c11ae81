//! The messages of a call that is observed, and its end.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tightrope_upstream::{Classify, Failure, Outcome};

use super::{CallEnd, classify};
use crate::Listening;

pin_project! {
    /// The body of a response to a call, passed on as it is.
    ///
    /// # Cancellation
    /// If it is dropped before its end nothing is told of the call.
    pub struct ObservedBody<B, C, E, L> {
        #[pin]
        body: B,
        // None once it was told.
        watch: Option<Watch<C, E, L>>,
    }
}

/// Waits for the status of a call.
pub(super) struct Watch<C, E, L> {
    http: StatusCode,
    classify: C,
    listening: L,
    /// Of the service: what `classify` would be asked about where there is no response.
    error: PhantomData<fn(E)>,
}

// === impl ObservedBody ===

impl<B, C, E, L> ObservedBody<B, C, E, L> {
    pub(super) const fn new(body: B, watch: Option<Watch<C, E, L>>) -> Self {
        Self { body, watch }
    }
}

impl<B, C, E, L> Body for ObservedBody<B, C, E, L>
where
    B: Body,
    C: Classify<CallEnd, E>,
    L: Listening,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        let trailers = match &frame {
            Some(Ok(frame)) => frame.trailers_ref(),
            _ => None,
        };
        let goes_on = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if !goes_on && let Some(watch) = this.watch.take() {
            match (&frame, trailers) {
                (Some(Err(_)), _) => watch.listening.end(Outcome::Failure(Failure::Reset)),
                (_, trailers) => {
                    let status = trailers.and_then(classify::status);
                    watch.end(status.and_then(classify::number));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // Not while the end is still to be told: who trusts this would not ask for it.
        self.watch.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: fmt::Debug, C, E, L> fmt::Debug for ObservedBody<B, C, E, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedBody")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

// === impl Watch ===

impl<C, E, L> Watch<C, E, L> {
    pub(super) const fn new(http: StatusCode, classify: C, listening: L) -> Self {
        Self {
            http,
            classify,
            listening,
            error: PhantomData,
        }
    }

    /// Tells that the call ended with this status.
    pub(super) fn end(self, grpc: Option<u32>)
    where
        C: Classify<CallEnd, E>,
        L: Listening,
    {
        let end = CallEnd {
            http: self.http,
            grpc,
        };
        self.listening.end(self.classify.classify(Ok(&end)));
    }
}
