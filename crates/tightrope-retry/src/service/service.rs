use std::task::{Context, Poll};

use http::Request;
use tightrope_upstream::{Attempt, Failed, TakeUnsent};
use tower_service::Service;

use super::{ATTEMPTS, ResponseFuture};

/// Sends a request again, elsewhere, when it is certain that nothing of it was sent.
///
/// Ready when the service inside is; each further attempt waits for the readiness of a clone of it.
///
/// # Cancellation
/// Dropping the response future drops the attempt that is under way; no further one is made.
#[derive(Clone, Copy, Debug)]
pub struct Retry<S> {
    inner: S,
    attempts: usize,
}

impl<S> Retry<S> {
    /// At most three attempts a request.
    pub const fn new(inner: S) -> Self {
        Self {
            inner,
            attempts: ATTEMPTS,
        }
    }

    /// At most this many attempts a request, the first included; 0 counts as 1, which retries
    /// nothing.
    #[must_use]
    pub const fn with_attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }

    /// The service inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for Retry<S>
where
    S: Service<Request<B>> + Clone,
    S::Error: Failed + TakeUnsent<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Request<B>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // What a client or an outer layer left there is not ours.
        request.extensions_mut().remove::<Attempt>();
        let spare = self.inner.clone();
        let response = self.inner.call(request);
        ResponseFuture::new(spare, response, self.attempts)
    }
}
