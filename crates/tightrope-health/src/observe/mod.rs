//! What live traffic tells of endpoints, for the stack of whoever sends it.
//!
//! [`ObserveLayer`] goes around the service that forwards, inside the balancer, and reports to a
//! [`HealthCheck`](crate::HealthCheck) which endpoints could not be connected to. So a server that
//! went away is out as soon as `fall` requests found out, where probes would take `fall` intervals.
//! Whoever forwards without tower reports to [`LiveReports`] directly.

mod future;
mod layer;
mod reports;
mod service;

pub(crate) use self::reports::{LiveReport, Reported, channel};
pub use self::{
    future::ResponseFuture, layer::ObserveLayer, reports::LiveReports, service::Observe,
};
