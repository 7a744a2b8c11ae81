//! The settings, and how a service is wrapped in them.

use tower_layer::Layer;

use super::Observe;

/// Tells who [listens](super::Listen) how attempts ended: the [`LiveReports`](crate::LiveReports) of a
/// [`HealthCheck`](crate::HealthCheck), the [`OutlierReports`](crate::outlier::OutlierReports) of an
/// [`OutlierDetection`](crate::outlier::OutlierDetection), or a pair of both.
///
/// ```
/// use std::convert::Infallible;
/// use tightrope_health::{HealthCheck, ObserveLayer, TcpProbe};
/// use tightrope_upstream::{Classify, Failed, Failure, Outcome, Picked, Upstream};
/// use tower::{Layer, service_fn};
///
/// /// Believes what the error says of itself.
/// #[derive(Clone)]
/// struct AsItSays;
///
/// impl<T, E: Failed> Classify<T, E> for AsItSays {
///     fn classify(&self, result: Result<&T, &E>) -> Outcome {
///         result.map_or_else(|error| Outcome::Failure(error.failure()), |_| Outcome::Success)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let upstream = Upstream::new("api");
/// let health = HealthCheck::new(&upstream, TcpProbe::new()).spawn();
///
/// let forward = service_fn(async |picked: Picked<String>| Ok::<_, Infallible>(picked.into_parts()));
/// let observed = ObserveLayer::new(health.live_reports(), AsItSays).layer(forward);
/// # drop(observed);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ObserveLayer<L, C> {
    listen: L,
    classify: C,
}

impl<L, C> ObserveLayer<L, C> {
    /// Tells `listen` what `classify` makes of each result.
    #[must_use]
    pub const fn new(listen: L, classify: C) -> Self {
        Self { listen, classify }
    }
}

impl<S, L: Clone, C: Clone> Layer<S> for ObserveLayer<L, C> {
    type Service = Observe<S, L, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe::new(inner, self.listen.clone(), self.classify.clone())
    }
}
