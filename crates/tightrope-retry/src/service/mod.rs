//! The middleware.

mod future;
mod layer;
#[expect(
    clippy::module_inception,
    reason = "layer, service and future of one middleware"
)]
mod service;

pub use self::{future::ResponseFuture, layer::RetryLayer, service::Retry};

/// The attempts that a request has at the most, unless said otherwise: enough to pass two endpoints
/// that died, few enough that a dead upstream is told of soon.
const ATTEMPTS: usize = 3;
