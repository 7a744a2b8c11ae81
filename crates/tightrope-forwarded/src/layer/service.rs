//! The wrapped service.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use tower_service::Service;

use crate::rewrite::Rewrite;

/// Rewrites the identity headers of each request on its way to `S`; made by
/// [`ForwardedLayer`](crate::ForwardedLayer).
///
/// It adds no failure, no wait and no future of its own: readiness, errors and the response are those of `S`.
#[derive(Clone, Debug)]
pub struct Forwarded<S> {
    inner: S,
    rewrite: Arc<Rewrite>,
}

impl<S> Forwarded<S> {
    pub(super) const fn new(inner: S, rewrite: Arc<Rewrite>) -> Self {
        Self { inner, rewrite }
    }

    /// The service inside.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to change it.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the wrapping.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for Forwarded<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        self.rewrite.apply(&mut request);
        self.inner.call(request)
    }
}
