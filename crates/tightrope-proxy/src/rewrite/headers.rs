//! Applies rules to the fields of requests and responses.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tightrope_upstream::{Endpoint, Picked};
use tower_layer::Layer;
use tower_service::Service;

use crate::hop_by_hop;

use super::{HeaderRules, Subject, rules::FilledValues};

/// Applies [`HeaderRules`] to requests on their way in, and others to responses on their way out.
///
/// In front of a balancer no endpoint is chosen yet, so `{endpoint}` is empty in requests. In
/// responses it is who answered, where their extensions have the `Arc<Endpoint>`. Between a
/// balancer and [`Forward`](crate::Forward) it is known throughout.
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use tightrope_proxy::rewrite::{HeaderRules, HeadersLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let headers = HeadersLayer::new()
///     .with_request(HeaderRules::new().set("x-edge", "{host}")?)
///     .with_response(HeaderRules::new().remove("server")?);
/// let service = headers.layer(service_fn(async |request: Request<()>| {
///     assert_eq!(request.headers()["x-edge"], "a.test");
///     Ok::<_, Infallible>(Response::builder().header("server", "secret").body(()).unwrap())
/// }));
/// let request = Request::get("/").header("host", "a.test").body(())?;
/// assert!(service.oneshot(request).await?.headers().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct HeadersLayer {
    request: Arc<HeaderRules>,
    response: Arc<HeaderRules>,
}

/// The service of a [`HeadersLayer`]. Readiness, errors and bodies are those of `S`.
#[derive(Clone, Debug)]
pub struct Headers<S> {
    inner: S,
    layer: HeadersLayer,
}

pin_project! {
    /// The response of [`Headers`].
    ///
    /// # Cancellation
    /// Dropping it drops the future inside.
    #[derive(Debug)]
    pub struct HeadersFuture<F> {
        #[pin]
        response: F,
        rules: Arc<HeaderRules>,
        values: FilledValues,
        endpoint: Option<Arc<Endpoint>>,
    }
}

// === impl HeadersLayer ===

impl HeadersLayer {
    /// Without rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is done to requests.
    pub fn with_request(mut self, rules: HeaderRules) -> Self {
        self.request = Arc::new(rules);
        self
    }

    /// What is done to responses. Their values speak of the request, as it came to this layer.
    pub fn with_response(mut self, rules: HeaderRules) -> Self {
        self.response = Arc::new(rules);
        self
    }

    /// Changes the request, and gives the values for its response.
    fn enter<B>(&self, request: &mut Request<B>, endpoint: Option<&Endpoint>) -> FilledValues {
        if !self.request.is_empty() {
            // Else a client could have dropped, on the way out, what a rule writes.
            hop_by_hop::drop_nominated(request.headers_mut());
        }
        let subject = Subject::of(request);
        let (values, later) = (self.request.fill(&subject), self.response.fill(&subject));
        let endpoint = endpoint.map(|endpoint| endpoint.id().as_str());
        self.request.apply(&values, endpoint, request.headers_mut());
        later
    }
}

impl<S> Layer<S> for HeadersLayer {
    type Service = Headers<S>;

    fn layer(&self, inner: S) -> Headers<S> {
        Headers {
            inner,
            layer: self.clone(),
        }
    }
}

// === impl Headers ===

impl<S> Headers<S> {
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

impl<S, B, R> Service<Request<B>> for Headers<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = HeadersFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let values = self.layer.enter(&mut request, None);
        HeadersFuture {
            response: self.inner.call(request),
            rules: Arc::clone(&self.layer.response),
            values,
            endpoint: None,
        }
    }
}

impl<S, B, R> Service<Picked<Request<B>>> for Headers<S>
where
    S: Service<Picked<Request<B>>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = HeadersFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, picked: Picked<Request<B>>) -> Self::Future {
        let (mut request, pick) = picked.into_parts();
        let endpoint = Arc::clone(pick.endpoint());
        let values = self.layer.enter(&mut request, Some(&endpoint));
        HeadersFuture {
            response: self.inner.call(Picked::new(request, pick)),
            rules: Arc::clone(&self.layer.response),
            values,
            endpoint: Some(endpoint),
        }
    }
}

// === impl HeadersFuture ===

impl<F, R, E> Future for HeadersFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.response.poll(cx))?;
        let answered = response.extensions().get::<Arc<Endpoint>>().cloned();
        let endpoint = this.endpoint.take().or(answered);
        let endpoint = endpoint.as_ref().map(|endpoint| endpoint.id().as_str());
        this.rules
            .apply(this.values, endpoint, response.headers_mut());
        Poll::Ready(Ok(response))
    }
}
