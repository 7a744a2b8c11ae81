//! The wrapped service.

use std::task::{Context, Poll};

use tightrope_upstream::{Classify, Picked};
use tower_service::Service;

use super::{Listen, ResponseFuture};

/// Tells how the attempts of `S` ended; made by [`ObserveLayer`](super::ObserveLayer).
///
/// It adds no failure and no wait: readiness, errors and the response are those of `S`. What it
/// costs is up to who listens.
#[derive(Clone, Debug)]
pub struct Observe<S, L, C> {
    inner: S,
    listen: L,
    classify: C,
}

impl<S, L, C> Observe<S, L, C> {
    pub(super) const fn new(inner: S, listen: L, classify: C) -> Self {
        Self {
            inner,
            listen,
            classify,
        }
    }

    /// The service inside.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to change it.
    #[must_use]
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the wrapping.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, L, C, R> Service<Picked<R>> for Observe<S, L, C>
where
    S: Service<Picked<R>>,
    L: Listen,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, L::Listening>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, picked: Picked<R>) -> Self::Future {
        let listening = self.listen.begin(picked.endpoint());
        ResponseFuture::new(self.inner.call(picked), self.classify.clone(), listening)
    }
}
