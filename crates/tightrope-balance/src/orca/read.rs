//! Reads reports from responses.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tightrope_upstream::{Endpoint, Picked};
use tower_service::Service;

use super::{LoadReport, ReadBody, Reports};

/// Reads what endpoints report in the heads and trailers of responses; to stand between a
/// [`Balance`](crate::Balance) and what talks to the endpoints.
///
/// A report that cannot be read is taken for none. Reports are left in the response: take
/// `endpoint-load-metrics` and `endpoint-load-metrics-bin` out before it goes to clients that you do
/// not trust with it.
///
/// ```
/// use tightrope_balance::{BalanceLayer, orca::{ReadReports, WeightedRoundRobin}};
/// use tightrope_upstream::Upstream;
/// use tower::Layer;
///
/// # let proxy = ();
/// let upstream = Upstream::new("shop");
/// let strategy = WeightedRoundRobin::new();
/// let reports = strategy.reports();
/// let balance = BalanceLayer::new(&upstream, strategy).layer(ReadReports::new(proxy, reports));
/// ```
#[derive(Clone, Debug)]
pub struct ReadReports<S> {
    inner: S,
    reports: Reports,
}

pin_project! {
    /// The response of a [`ReadReports`].
    #[derive(Debug)]
    pub struct ReadReportsFuture<F> {
        #[pin]
        response: F,
        endpoint: Option<Arc<Endpoint>>,
        reports: Reports,
    }
}

// === impl ReadReports ===

impl<S> ReadReports<S> {
    /// Tells `reports` what the responses of `inner` say.
    pub const fn new(inner: S, reports: Reports) -> Self {
        Self { inner, reports }
    }
}

impl<S, R, B> Service<Picked<R>> for ReadReports<S>
where
    S: Service<Picked<R>, Response = Response<B>>,
    B: Body,
{
    type Response = Response<ReadBody<B>>;
    type Error = S::Error;
    type Future = ReadReportsFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, picked: Picked<R>) -> Self::Future {
        let endpoint = Some(Arc::clone(picked.endpoint()));
        ReadReportsFuture {
            response: self.inner.call(picked),
            endpoint,
            reports: self.reports.clone(),
        }
    }
}

// === impl ReadReportsFuture ===

impl<F, B, E> Future for ReadReportsFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<ReadBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(context))?;
        let (head, body) = response.into_parts();
        let report = LoadReport::from_headers(&head.headers).ok().flatten();
        let endpoint = this.endpoint.take();
        if let Some(endpoint) = &endpoint {
            this.reports.observe(endpoint, report.as_ref());
        }
        // One that was in the head is not repeated in the trailers.
        let waits = endpoint.filter(|_| report.is_none() && !body.is_end_stream());
        let body = ReadBody::new(body, waits.map(|endpoint| (endpoint, this.reports.clone())));
        Poll::Ready(Ok(Response::from_parts(head, body)))
    }
}
