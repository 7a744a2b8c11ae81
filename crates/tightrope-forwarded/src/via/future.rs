//! What a call comes to.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::ViaError;

pin_project! {
    /// The response of a [`Via`](crate::Via).
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the call of the service inside, if there was one.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // None for a request that is not passed on.
        #[pin]
        response: Option<F>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn passed(response: F) -> Self {
        Self {
            response: Some(response),
        }
    }

    pub(super) fn refused() -> Self {
        Self { response: None }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<R, E>>,
{
    type Output = Result<R, ViaError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().response.as_pin_mut() {
            Some(response) => Poll::Ready(ready!(response.poll(cx)).map_err(ViaError::Inner)),
            None => Poll::Ready(Err(ViaError::Loop)),
        }
    }
}
