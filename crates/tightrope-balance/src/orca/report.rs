//! What a server says of its load.

use std::collections::BTreeMap;

/// What a server says of its load. 0, or nothing in a map, where it does not say.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LoadReport {
    /// The share of its processor that is in use; above 1 past a limit of its own.
    pub cpu_utilization: f64,
    /// The share of its memory that is in use.
    pub mem_utilization: f64,
    /// The share of its capacity that is in use, by a measure of its own; above 1 past its limit.
    pub application_utilization: f64,
    /// Requests that it serves per second.
    pub rps: f64,
    /// Errors that it answers with per second.
    pub eps: f64,
    /// What the request cost, by names of the server's own.
    pub request_cost: BTreeMap<String, f64>,
    /// The shares of other resources that are in use, by names of the server's own.
    pub utilization: BTreeMap<String, f64>,
    /// Whatever else it measures, by names of its own.
    pub named_metrics: BTreeMap<String, f64>,
}

impl LoadReport {
    /// That nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value under a name as reports write it: `cpu_utilization`, `mem_utilization`,
    /// `application_utilization`, `rps_fractional`, `eps`, or that of a map, a dot and a key, such as
    /// `named_metrics.queue`. `None` for one that the server does not say.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let value = match name {
            "cpu_utilization" => self.cpu_utilization,
            "mem_utilization" => self.mem_utilization,
            "application_utilization" => self.application_utilization,
            "rps_fractional" => self.rps,
            "eps" => self.eps,
            _ => {
                let (map, key) = name.split_once('.')?;
                let map = match map {
                    "request_cost" => &self.request_cost,
                    "utilization" => &self.utilization,
                    "named_metrics" => &self.named_metrics,
                    _ => return None,
                };
                return map.get(key).copied();
            }
        };
        (value != 0.0).then_some(value)
    }
}
