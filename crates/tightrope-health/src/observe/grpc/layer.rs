//! The settings, and how a service is wrapped in them.

use tower_layer::Layer;

use super::{GrpcClassify, GrpcObserve};

/// Tells who [listens](crate::Listen) how calls ended, once their trailers are there; otherwise as
/// [`ObserveLayer`](crate::ObserveLayer).
///
/// ```
/// use tightrope_health::{observe::grpc::GrpcObserveLayer, outlier::OutlierDetection};
/// use tightrope_upstream::Upstream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let upstream = Upstream::new("greeter");
/// let outliers = OutlierDetection::new(&upstream).spawn();
/// let layer = GrpcObserveLayer::new(outliers.reports());
/// # drop(layer);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GrpcObserveLayer<L, C = GrpcClassify> {
    listen: L,
    classify: C,
}

impl<L> GrpcObserveLayer<L> {
    /// Tells `listen` what [`GrpcClassify`] makes of each call.
    #[must_use]
    pub const fn new(listen: L) -> Self {
        Self {
            listen,
            classify: GrpcClassify,
        }
    }
}

impl<L, C> GrpcObserveLayer<L, C> {
    /// Tells what `classify` makes of each [`CallEnd`](super::CallEnd) instead.
    #[must_use]
    pub fn with_classify<D>(self, classify: D) -> GrpcObserveLayer<L, D> {
        GrpcObserveLayer {
            listen: self.listen,
            classify,
        }
    }
}

impl<S, L: Clone, C: Clone> Layer<S> for GrpcObserveLayer<L, C> {
    type Service = GrpcObserve<S, L, C>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcObserve::new(inner, self.listen.clone(), self.classify.clone())
    }
}
