//! What an endpoint may be ejected for.

use std::fmt;

/// What an endpoint may be ejected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Detector {
    /// Failures in a row.
    ConsecutiveFailures,
    /// In a row: answers of a gateway that failed, or no answer.
    GatewayFailures,
    /// In a row: no answer.
    LocalFailures,
    /// Successes are rarer than the fleet's.
    SuccessRate,
    /// Failures are frequent.
    FailureShare,
    /// Answers take longer than the fleet's.
    Latency,
    /// The first attempt after an ejection failed.
    Probation,
}

impl Detector {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ConsecutiveFailures,
        Self::GatewayFailures,
        Self::LocalFailures,
        Self::SuccessRate,
        Self::FailureShare,
        Self::Latency,
        Self::Probation,
    ];
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ConsecutiveFailures => "consecutive failures",
            Self::GatewayFailures => "gateway failures",
            Self::LocalFailures => "local failures",
            Self::SuccessRate => "success rate",
            Self::FailureShare => "failure share",
            Self::Latency => "latency",
            Self::Probation => "probation",
        })
    }
}
