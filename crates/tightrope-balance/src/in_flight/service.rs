//! One service per endpoint, as one service.

use std::{
    fmt,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use tightrope_upstream::{Classify, Endpoint, Failure, Outcome, Picked, Upstream};
use tower_service::Service;

use super::{Hold, ResponseFuture, UntilResponse, services::Services};

/// Calls a service of each endpoint's own, for a [`Balance`](crate::Balance) to stand in front of.
///
/// The services are made by a function when their endpoint is first picked, and kept: one for each
/// endpoint, shared by all clones of the adapter. One is dropped when its endpoint leaves the
/// upstream or gets another address; what is in flight on it ends undisturbed. A change of weight,
/// group, metadata or health keeps it.
///
/// It is always ready. The clone of the endpoint's service that gets the request is waited for in
/// the response future, with the place in flight taken, so that waiting counts as load; no other
/// instance is called. Errors are those of the service, as they are.
///
/// How an attempt ended is told by a [`Classify`]; by default every response is a success, see
/// [`OkIsSuccess`]. It is over when there is a response: for HTTP and gRPC, whose bodies follow
/// later, say `until_body_end` (feature `http-body`).
///
/// A request costs one look into a hash table and a clone of the service, without a lock. The
/// first one on an endpoint makes the service under a lock and copies the table.
///
/// ```
/// use std::{convert::Infallible, sync::Arc};
/// use tightrope_balance::{Balance, LeastRequest, in_flight::PerEndpoint};
/// use tightrope_upstream::{Change, Endpoint, EndpointSpec, Upstream};
/// use tower::{Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let upstream = Upstream::new("greeter");
/// upstream.apply(Change::new().add(EndpointSpec::new("10.0.0.1:50051".parse()?)))?;
///
/// // Stands for a channel: `Channel::builder(uri).connect_lazy()` with tonic.
/// let connect = |endpoint: &Arc<Endpoint>| {
///     let address = endpoint.address().to_string();
///     service_fn(move |request: &'static str| {
///         let answer = format!("{request} to {address}");
///         async move { Ok::<_, Infallible>(answer) }
///     })
/// };
/// let channels = PerEndpoint::new(&upstream, connect);
/// let mut balance = Balance::new(&upstream, LeastRequest::new(), channels);
///
/// assert_eq!(balance.ready().await?.call("hello").await?, "hello to 10.0.0.1:50051");
/// # Ok(())
/// # }
/// ```
pub struct PerEndpoint<M, S, K = OkIsSuccess, H = UntilResponse> {
    services: Arc<Services<M, S>>,
    classify: K,
    hold: H,
}

/// Every response is a success, every error [`Failure::Reset`].
///
/// That is the most that can be said of any service: an endpoint whose service fails did not do
/// its part, and the request may have been carried out.
#[derive(Clone, Copy, Debug, Default)]
pub struct OkIsSuccess;

// === impl PerEndpoint ===

impl<M, S> PerEndpoint<M, S> {
    /// A service made by `make` for each endpoint of `upstream`.
    ///
    /// `make` is called within a request, one call at a time; it should return at once, and
    /// connect later.
    pub fn new(upstream: &Upstream, make: M) -> Self
    where
        M: Fn(&Arc<Endpoint>) -> S + Send + Sync + 'static,
        S: Clone + Send + Sync + 'static,
    {
        let services = Arc::new(Services::new(make));
        let weak: Weak<Services<M, S>> = Arc::downgrade(&services);
        upstream.follow(weak);
        Self {
            services,
            classify: OkIsSuccess,
            hold: UntilResponse,
        }
    }
}

impl<M, S, K, H> PerEndpoint<M, S, K, H> {
    /// Lets `classify` tell how an attempt ended.
    pub fn with_classify<C>(self, classify: C) -> PerEndpoint<M, S, C, H> {
        PerEndpoint {
            services: self.services,
            classify,
            hold: self.hold,
        }
    }

    /// Counts an attempt as in flight until the body of its `http::Response` ends.
    #[cfg(feature = "http-body")]
    pub fn until_body_end(self) -> PerEndpoint<M, S, K, super::UntilBodyEnd> {
        PerEndpoint {
            services: self.services,
            classify: self.classify,
            hold: super::UntilBodyEnd,
        }
    }
}

impl<R, M, S, K, H> Service<Picked<R>> for PerEndpoint<M, S, K, H>
where
    M: Fn(&Arc<Endpoint>) -> S,
    S: Service<R> + Clone,
    K: Classify<S::Response, S::Error> + Clone,
    H: Hold<S::Response> + Clone,
{
    type Response = H::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, K, H>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, picked: Picked<R>) -> Self::Future {
        let service = self.services.get(picked.endpoint());
        let (request, pick) = picked.into_parts();
        let (classify, hold) = (self.classify.clone(), self.hold.clone());
        ResponseFuture::new(service, request, pick, classify, hold)
    }
}

impl<M, S, K: Clone, H: Clone> Clone for PerEndpoint<M, S, K, H> {
    fn clone(&self) -> Self {
        Self {
            services: Arc::clone(&self.services),
            classify: self.classify.clone(),
            hold: self.hold.clone(),
        }
    }
}

impl<M, S, K: fmt::Debug, H: fmt::Debug> fmt::Debug for PerEndpoint<M, S, K, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerEndpoint")
            .field("classify", &self.classify)
            .field("hold", &self.hold)
            .finish_non_exhaustive()
    }
}

// === impl OkIsSuccess ===

impl<T, E> Classify<T, E> for OkIsSuccess {
    fn classify(&self, result: Result<&T, &E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure(Failure::Reset),
        }
    }
}
