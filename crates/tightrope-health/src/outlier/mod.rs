//! Ejection of endpoints that live traffic tells against.
//!
//! An [`OutlierDetection`] watches how requests end and takes endpoints out for a while that stand
//! out: by failures in a row, or by faring worse than the others. An
//! [`ObserveLayer`](crate::ObserveLayer) with its [`OutlierReports`] goes around the service that
//! forwards, inside the balancer.
//!
//! | detector | counts | default |
//! | --- | --- | --- |
//! | [`ConsecutiveFailures`](Detector::ConsecutiveFailures) | failures in a row, of any kind | 5 |
//! | [`GatewayFailures`](Detector::GatewayFailures) | in a row, those that came as 502, 503 or 504, or without an answer | off |
//! | [`LocalFailures`](Detector::LocalFailures) | in a row, those without an answer; the others then count answers only | off |
//! | [`SuccessRate`](Detector::SuccessRate) | who succeeds less often than the fleet does | 1.9 deviations below the mean |
//! | [`FailureShare`](Detector::FailureShare) | who fails this often | off |
//! | [`Latency`](Detector::Latency) | who takes this many times as long as the fleet does | off |
//! | [`Probation`](Detector::Probation) | the first attempt after an ejection, while it is on trial | on |
//!
//! Only failures whose [fault](tightrope_upstream::Failure::fault) lies with the endpoint count: not
//! those of a client, of this process and its limits, nor attempts that were given up.
//!
//! The rules and numbers are those of Envoy, as gRPC has them too, but for these: an endpoint comes
//! back when its time is over rather than at the next sweep, and then one attempt decides
//! ([linkerd's](https://linkerd.io) circuit breaker does so); answers to requests that were sent
//! before it was ejected are ignored; a success rate ejects nobody for less
//! than five failures; and at least one endpoint may be ejected, however few there
//! are, but never the last that is available.

mod counts;
mod detector;
mod ejection;
mod error;
mod fleet;
mod reports;
mod settings;
mod tally;
mod task;
mod worker;

pub use self::{
    counts::{OutlierCounts, Verdicts},
    detector::Detector,
    error::OutlierError,
    fleet::{FailureShare, LatencyFactor, SuccessRate, Volume},
    reports::{OutlierReports, Watched},
    settings::OutlierDetection,
    task::OutlierTask,
};
