//! The wrapped service.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use http::header::VIA;
use tower_service::Service;

use super::ResponseFuture;
use super::layer::Name;
use crate::ViaError;

/// Writes `Via` on the way to `S`, and refuses what comes around again; made by [`ViaLayer`](crate::ViaLayer).
#[derive(Clone, Debug)]
pub struct Via<S> {
    inner: S,
    name: Arc<Name>,
}

impl<S> Via<S> {
    pub(super) fn new(inner: S, name: Arc<Name>) -> Self {
        Self { inner, name }
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

impl<S, B> Service<Request<B>> for Via<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = ViaError<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(ViaError::Inner)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let line = self.name.line(request.version());
        let headers = request.headers_mut();
        let mut lines = headers.get_all(VIA).iter();
        if lines.any(|line| self.name.is_in(line.as_bytes())) {
            return ResponseFuture::refused();
        }
        // It fails above 24,576 names alone, and no server reads a head like that.
        let _full = headers.try_append(VIA, line);
        ResponseFuture::passed(self.inner.call(request))
    }
}
