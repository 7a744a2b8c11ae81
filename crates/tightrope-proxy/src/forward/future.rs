//! The response to come.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;

use crate::{ForwardBody, ForwardError};

/// The response to a request that [`Forward`](crate::Forward) forwards.
///
/// # Cancellation
/// Dropping it closes the connection that the request went out on, if any, and releases the pick
/// with [`Outcome::Cancelled`](tightrope_upstream::Outcome::Cancelled).
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    exchange: Pin<Box<dyn Future<Output = Result<Response<ForwardBody>, ForwardError>> + Send>>,
}

impl ResponseFuture {
    pub(crate) fn new(
        exchange: impl Future<Output = Result<Response<ForwardBody>, ForwardError>> + Send + 'static,
    ) -> Self {
        Self {
            exchange: Box::pin(exchange),
        }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<ForwardBody>, ForwardError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.exchange.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
