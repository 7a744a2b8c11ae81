//! One attempt that is observed.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tightrope_upstream::{Classify, Endpoint};

use super::LiveReports;

pin_project! {
    /// The response of an [`Observe`](super::Observe).
    ///
    /// # Cancellation
    /// Dropping it drops the attempt, of which nothing is reported then.
    #[derive(Debug)]
    pub struct ResponseFuture<F, C> {
        #[pin]
        response: F,
        classify: C,
        reports: LiveReports,
        endpoint: Arc<Endpoint>,
    }
}

impl<F, C> ResponseFuture<F, C> {
    pub(super) const fn new(
        response: F,
        classify: C,
        reports: LiveReports,
        endpoint: Arc<Endpoint>,
    ) -> Self {
        Self {
            response,
            classify,
            reports,
            endpoint,
        }
    }
}

impl<F, C, T, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.response.poll(cx));
        let outcome = this.classify.classify(result.as_ref());
        this.reports.report(this.endpoint, outcome);
        Poll::Ready(result)
    }
}
