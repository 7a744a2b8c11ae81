//! One attempt that is observed.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tightrope_upstream::Classify;

use super::Listening;

pin_project! {
    /// The response of an [`Observe`](super::Observe).
    ///
    /// # Cancellation
    /// Dropping it drops the attempt, of which nothing is told then.
    #[derive(Debug)]
    pub struct ResponseFuture<F, C, L> {
        #[pin]
        response: F,
        classify: C,
        // None once it was told.
        listening: Option<L>,
    }
}

impl<F, C, L> ResponseFuture<F, C, L> {
    pub(super) const fn new(response: F, classify: C, listening: L) -> Self {
        Self {
            response,
            classify,
            listening: Some(listening),
        }
    }
}

impl<F, C, L, T, E> Future for ResponseFuture<F, C, L>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
    L: Listening,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.response.poll(cx));
        if let Some(listening) = this.listening.take() {
            listening.end(this.classify.classify(result.as_ref()));
        }
        Poll::Ready(result)
    }
}
