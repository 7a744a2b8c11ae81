//! The settings, and how a service is wrapped in them.

use tower_layer::Layer;

use super::{LiveReports, Observe};

/// Reports how attempts ended to a [`HealthCheck`](crate::HealthCheck).
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
pub struct ObserveLayer<C> {
    reports: LiveReports,
    classify: C,
}

impl<C> ObserveLayer<C> {
    /// Reports to `reports` what `classify` makes of each result.
    #[must_use]
    pub const fn new(reports: LiveReports, classify: C) -> Self {
        Self { reports, classify }
    }
}

impl<S, C: Clone> Layer<S> for ObserveLayer<C> {
    type Service = Observe<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe::new(inner, self.reports.clone(), self.classify.clone())
    }
}
