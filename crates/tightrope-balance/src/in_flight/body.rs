//! A response body that keeps its pick.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tightrope_upstream::{Failure, Outcome, Pick};

pin_project! {
    /// A response body that keeps the pick of its request until it ends, fails or is dropped.
    ///
    /// The outcome is that of the response if the body ends, [`Failure::Reset`] if it fails. An
    /// upgraded connection is not part of it: its pick is given back with the response.
    ///
    /// # Cancellation
    /// A body that is dropped before its end gives the pick back as [`Outcome::Cancelled`], unless
    /// the response itself was a failure.
    #[derive(Debug)]
    pub struct HeldBody<B> {
        #[pin]
        body: B,
        held: Option<Held>,
    }
}

#[derive(Debug)]
struct Held {
    pick: Pick,
    outcome: Outcome,
}

// === impl HeldBody ===

impl<B: Body> HeldBody<B> {
    pub(super) fn new(body: B, mut pick: Pick, outcome: Outcome) -> Self {
        pick.answered(outcome);
        if outcome != Outcome::Success {
            pick.set_outcome(outcome);
        }
        let mut held = Some(Held { pick, outcome });
        if body.is_end_stream() {
            end(&mut held);
        }
        Self { body, held }
    }
}

impl<B: Body> Body for HeldBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(context));
        match &frame {
            // Whoever reads the body may stop where it says that there is no more.
            Some(Ok(_)) if this.body.is_end_stream() => end(this.held),
            Some(Ok(_)) => {}
            Some(Err(_)) => fail(this.held),
            None => end(this.held),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn end(held: &mut Option<Held>) {
    if let Some(Held { mut pick, outcome }) = held.take() {
        pick.set_outcome(outcome);
    }
}

fn fail(held: &mut Option<Held>) {
    if let Some(Held { outcome, .. }) = held
        && *outcome == Outcome::Success
    {
        *outcome = Outcome::Failure(Failure::Reset);
    }
    end(held);
}
