//! What live traffic tells of endpoints, for the stack of whoever sends it.
//!
//! [`ObserveLayer`] goes around the service that forwards, inside the balancer, and tells who
//! [listens](Listen): a [`HealthCheck`](crate::HealthCheck) learns by its [`LiveReports`] which endpoints
//! could not be connected to, so that a server that went away is out as soon as `fall` requests found
//! out, where probes would take `fall` intervals; an
//! [`OutlierDetection`](crate::outlier::OutlierDetection) learns how requests end. Whoever forwards
//! without tower tells them directly.

mod future;
#[cfg(feature = "grpc")]
pub mod grpc;
mod layer;
mod listen;
mod reports;
mod service;

pub(crate) use self::reports::{LiveReport, Reported, channel};
pub use self::{
    future::ResponseFuture,
    layer::ObserveLayer,
    listen::{Listen, Listening},
    reports::{LiveAttempt, LiveReports},
    service::Observe,
};
