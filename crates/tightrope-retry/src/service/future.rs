use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Request;
use pin_project_lite::pin_project;
use tightrope_upstream::{Attempt, Failed, Failure, TakeUnsent};
use tower_service::Service;

pin_project! {
    /// The response of the last attempt.
    ///
    /// # Panics
    /// If it is polled after it resolved.
    pub struct ResponseFuture<S, R>
    where
        S: Service<R>,
    {
        // For further attempts.
        service: S,
        attempts: usize,
        attempt: Attempt,
        // Why the attempt before did not get through.
        error: Option<S::Error>,
        // The request while it waits for the service to be ready.
        waiting: Option<R>,
        #[pin]
        response: Option<S::Future>,
    }
}

impl<S: Service<R>, R> ResponseFuture<S, R> {
    pub(super) const fn new(service: S, response: S::Future, attempts: usize) -> Self {
        Self {
            service,
            attempts,
            attempt: Attempt::first(),
            error: None,
            waiting: None,
            response: Some(response),
        }
    }
}

impl<S, B> Future for ResponseFuture<S, Request<B>>
where
    S: Service<Request<B>>,
    S::Error: Failed + TakeUnsent<Request<B>>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(response) = this.response.as_mut().as_pin_mut() {
                let mut error = match ready!(response.poll(context)) {
                    Ok(response) => return Poll::Ready(Ok(response)),
                    Err(error) => error,
                };
                this.response.set(None);
                // Nobody is left to try: what went wrong before says more.
                if error.failure() == Failure::Unavailable {
                    return Poll::Ready(Err(this.error.take().unwrap_or(error)));
                }
                if this.attempt.number() >= *this.attempts {
                    return Poll::Ready(Err(error));
                }
                let Some(unsent) = error.take_unsent() else {
                    return Poll::Ready(Err(error));
                };
                let mut request = unsent.request;
                *this.attempt = mem::take(this.attempt).next(unsent.endpoint.id().clone());
                request.extensions_mut().insert(this.attempt.clone());
                *this.error = Some(error);
                *this.waiting = Some(request);
            }
            assert!(this.waiting.is_some(), "polled after it resolved");
            ready!(this.service.poll_ready(context))?;
            if let Some(request) = this.waiting.take() {
                this.response.set(Some(this.service.call(request)));
            }
        }
    }
}

impl<S: Service<R>, R> fmt::Debug for ResponseFuture<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
