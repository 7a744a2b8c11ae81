//! What live traffic has an endpoint ejected for.

use std::time::Duration;

use serde::Deserialize;
use tightrope::{
    health::outlier::{FailureShare, LatencyFactor, OutlierDetection, OutlierError, SuccessRate},
    upstream::Upstream,
};

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Outlier {
    /// In a row; 0: never, here and below.
    consecutive_failures: u32,
    gateway_failures: u32,
    local_failures: u32,
    /// How many standard deviations below the fleet's mean.
    success_rate_deviations: f64,
    /// For fewer it ejects nobody.
    success_rate_failures: u64,
    failure_share: f64,
    latency_factor: f64,
    #[serde(with = "humantime_serde")]
    interval: Duration,
    #[serde(with = "humantime_serde")]
    base_time: Duration,
    #[serde(with = "humantime_serde")]
    max_time: Duration,
    #[serde(with = "humantime_serde")]
    jitter: Duration,
    /// The share of the endpoints that may be out.
    max_ejected: f64,
    /// How many others must be left.
    min_available: usize,
    /// For how long failures add up among successes.
    #[serde(with = "humantime_serde")]
    memory: Duration,
    /// Whether one attempt at a time decides after an ejection.
    probation: bool,
}

impl Outlier {
    /// The detection that this says, of the members of `upstream`.
    pub(crate) fn detection(&self, upstream: &Upstream) -> Result<OutlierDetection, OutlierError> {
        let in_a_row = |failures: u32| (failures > 0).then_some(failures);
        let rule = |value: f64| (value != 0.0).then_some(value);
        let success_rate = rule(self.success_rate_deviations);
        let success_rate = success_rate.map(|by| {
            let rule = SuccessRate::new().with_min_failures(self.success_rate_failures);
            rule.with_deviations(by)
        });
        let failure_share = rule(self.failure_share);
        let failure_share = failure_share.map(|share| FailureShare::new().with_share(share));
        let latency = rule(self.latency_factor);
        let latency = latency.map(|factor| LatencyFactor::new().with_factor(factor));
        Ok(OutlierDetection::new(upstream)
            .with_consecutive_failures(in_a_row(self.consecutive_failures))?
            .with_gateway_failures(in_a_row(self.gateway_failures))?
            .with_local_failures(in_a_row(self.local_failures))?
            .with_success_rate(success_rate.transpose()?)
            .with_failure_share(failure_share.transpose()?)
            .with_latency(latency.transpose()?)
            .with_interval(self.interval)?
            .with_times(self.base_time, self.max_time)?
            .with_jitter(self.jitter)
            .with_max_ejected(self.max_ejected)?
            .with_min_available(self.min_available)
            .with_memory(self.memory)
            .with_probation(self.probation))
    }
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            gateway_failures: 0,
            local_failures: 0,
            success_rate_deviations: 1.9,
            success_rate_failures: 5,
            failure_share: 0.0,
            latency_factor: 0.0,
            interval: Duration::from_secs(10),
            base_time: Duration::from_secs(30),
            max_time: Duration::from_secs(300),
            jitter: Duration::ZERO,
            max_ejected: 0.1,
            min_available: 1,
            memory: Duration::ZERO,
            probation: true,
        }
    }
}
