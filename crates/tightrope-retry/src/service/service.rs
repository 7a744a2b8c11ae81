use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tightrope_upstream::{Attempt, Failed, TakeUnsent};
use tower_service::Service;

use super::{Course, ResponseFuture, RetryLayer, Settings};
use crate::{Budget, Policy, Replay, RetryError, RetryOn};

/// Sends a request again, elsewhere, where that is safe and worth it; a [`RetryLayer`] says when.
///
/// Ready when the service inside is; each further attempt waits for the readiness of a clone of it.
///
/// # Cancellation
/// Dropping the response future drops the attempts that are under way; no further one is made, and one that was
/// paid for and not made yet costs the budget nothing.
pub struct Retry<S, P = RetryOn> {
    inner: S,
    settings: Arc<Settings<P>>,
}

impl<S> Retry<S> {
    /// With the defaults of a [`RetryLayer`].
    pub fn new(inner: S) -> Self {
        tower_layer::Layer::layer(&RetryLayer::new(), inner)
    }
}

impl<S, P> Retry<S, P> {
    pub(super) const fn with_settings(inner: S, settings: Arc<Settings<P>>) -> Self {
        Self { inner, settings }
    }

    /// What bounds its retries.
    #[must_use]
    pub fn budget(&self) -> Option<&Budget> {
        self.settings.budget.as_ref()
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

impl<S, P, B, T> Service<Request<B>> for Retry<S, P>
where
    S: Service<Request<Replay<B>>, Response = Response<T>> + Clone,
    S::Error: Failed + TakeUnsent<Request<Replay<B>>>,
    P: Policy,
    B: Body,
{
    type Response = Response<T>;
    type Error = RetryError<S::Error>;
    type Future = ResponseFuture<S, P, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(RetryError::Inner)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        // What a client or an outer layer left there is not ours.
        head.extensions.remove::<Attempt>();
        self.settings.deposit();
        let spare = (self.settings.attempts > 1).then(|| self.inner.clone());
        let (course, body, way) = Course::start(&self.settings, &mut head, body);
        let first = way.map(|way| (self.inner.call(Request::from_parts(head, body)), way));
        ResponseFuture::new(spare, course, first)
    }
}

impl<S: Clone, P> Clone for Retry<S, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            settings: Arc::clone(&self.settings),
        }
    }
}

impl<S: fmt::Debug, P> fmt::Debug for Retry<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("attempts", &self.settings.attempts)
            .field("budget", &self.settings.budget)
            .finish_non_exhaustive()
    }
}
