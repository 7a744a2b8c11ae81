//! Settings that cannot be.

use std::time::Duration;

use super::Detector;

/// A setting of an [`OutlierDetection`](super::OutlierDetection) that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OutlierError {
    /// Sweeps without a pause.
    #[error("interval is zero")]
    Interval,
    /// An ejection that ends at once.
    #[error("base time of ejections is zero")]
    BaseTime,
    /// Ejections that shrink.
    #[error("longest ejection is {max:?} and shorter than the first, {base:?}")]
    MaxTime {
        /// The first.
        base: Duration,
        /// The longest.
        max: Duration,
    },
    /// No failure at all would be too many.
    #[error("number of {detector} in a row is zero")]
    InARow {
        /// Of which detector.
        detector: Detector,
    },
    /// Not a share.
    #[error("share of endpoints ejected is {share} and not between 0 and 1")]
    MaxEjected {
        /// What was given.
        share: f64,
    },
    /// Not a share.
    #[error("enforcement of {detector} is {share} and not between 0 and 1")]
    Enforcement {
        /// Of which detector.
        detector: Detector,
        /// What was given.
        share: f64,
    },
    /// Not a share above 0.
    #[error("failure share is {share} and not above 0 and up to 1")]
    FailureShare {
        /// What was given.
        share: f64,
    },
    /// Not a number of deviations.
    #[error("deviations of the success rate are {deviations} and not a number from 0 on")]
    Deviations {
        /// What was given.
        deviations: f64,
    },
    /// Not a factor above 1.
    #[error("latency factor is {factor} and not a number above 1")]
    LatencyFactor {
        /// What was given.
        factor: f64,
    },
    /// Nobody, or nothing, is enough to judge by.
    #[error("volume of {endpoints} endpoints with {requests} requests each asks for nothing")]
    Volume {
        /// How many endpoints.
        endpoints: usize,
        /// How many requests of each.
        requests: u64,
    },
}
