//! The wrapped service.

use std::task::{Context, Poll};

use http::Response;
use tightrope_upstream::{Classify, Picked};
use tower_service::Service;

use super::{CallEnd, ObservedBody, ResponseFuture};
use crate::Listen;

/// Tells how the calls of `S` ended; made by [`GrpcObserveLayer`](super::GrpcObserveLayer).
///
/// It adds no failure and no wait: readiness, errors and responses are those of `S`, with bodies that
/// are passed on as they are.
#[derive(Clone, Debug)]
pub struct GrpcObserve<S, L, C> {
    inner: S,
    listen: L,
    classify: C,
}

impl<S, L, C> GrpcObserve<S, L, C> {
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

impl<S, L, C, R, B> Service<Picked<R>> for GrpcObserve<S, L, C>
where
    S: Service<Picked<R>, Response = Response<B>>,
    L: Listen,
    C: Classify<CallEnd, S::Error> + Clone,
{
    type Response = Response<ObservedBody<B, C, S::Error, L::Listening>>;
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
