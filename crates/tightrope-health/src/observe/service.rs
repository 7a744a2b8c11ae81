//! The wrapped service.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tightrope_upstream::{Classify, Picked};
use tower_service::Service;

use super::{LiveReports, ResponseFuture};

/// Reports how the attempts of `S` ended; made by [`ObserveLayer`](super::ObserveLayer).
///
/// It adds no failure and no wait: readiness, errors and the response are those of `S`. What it
/// costs is in [`LiveReports`].
#[derive(Clone, Debug)]
pub struct Observe<S, C> {
    inner: S,
    reports: LiveReports,
    classify: C,
}

impl<S, C> Observe<S, C> {
    pub(super) const fn new(inner: S, reports: LiveReports, classify: C) -> Self {
        Self {
            inner,
            reports,
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

impl<S, C, R> Service<Picked<R>> for Observe<S, C>
where
    S: Service<Picked<R>>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, picked: Picked<R>) -> Self::Future {
        let endpoint = Arc::clone(picked.endpoint());
        ResponseFuture::new(
            self.inner.call(picked),
            self.classify.clone(),
            self.reports.clone(),
            endpoint,
        )
    }
}
