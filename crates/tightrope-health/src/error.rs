//! What can be wrong with the settings of a health check.

/// Why a setting of a [`HealthCheck`](crate::HealthCheck) was refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HealthCheckError {
    /// Probes would follow each other without a pause.
    #[error("interval is zero")]
    Interval,
    /// Probes of who is unhealthy would follow each other without a pause.
    #[error("unhealthy interval is zero")]
    UnhealthyInterval,
    /// Probes of whose verdict may change would follow each other without a pause.
    #[error("changing interval is zero")]
    ChangingInterval,
    /// Probes of who gets no traffic would follow each other without a pause.
    #[error("idle interval is zero")]
    IdleInterval,
    /// The share is not one that an interval can be shortened by.
    #[error("jitter is {share} and not between 0 and 0.5")]
    Jitter {
        /// The share as it was given.
        share: f64,
    },
    /// No probe could end in time.
    #[error("timeout is zero")]
    Timeout,
    /// No probe could ever start.
    #[error("max in flight is zero")]
    MaxInFlight,
    /// No probe would be needed to be healthy.
    #[error("rise is zero")]
    Rise,
    /// No failure would be needed to be unhealthy.
    #[error("fall is zero")]
    Fall,
}
