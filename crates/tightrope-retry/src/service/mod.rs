//! The middleware.

mod clock;
mod course;
mod future;
mod layer;
#[expect(
    clippy::module_inception,
    reason = "layer, service and future of one middleware"
)]
mod service;
mod settings;

use self::{course::Course, settings::Settings};
pub use self::{future::ResponseFuture, layer::RetryLayer, service::Retry};
