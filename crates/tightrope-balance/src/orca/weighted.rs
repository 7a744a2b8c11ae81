//! In turn, by the weights that follow from reports.

use std::{sync::Arc, time::Duration};

use tightrope_upstream::Snapshot;

use super::reports::{Reports, Settings, Weighted};
use crate::{Context, Picker, Random, RoundRobin, Strategy, strategies::Arrivals};

/// In turn, each as often as follows from what it reports of its load.
///
/// `weight = rps / (utilization + eps / rps * error penalty)`: what an endpoint serves for how busy
/// it is with it. The utilization is the largest of the [metrics](Self::with_metrics) that were
/// named, else that of the application, else that of the processor. An endpoint that has no valid
/// report counts like the mean of the others; with fewer than two reports turns follow the
/// configured weights alone, and else those multiply what is reported. No endpoint counts more
/// than ten times as much as the mean, or less than a tenth of it.
///
/// Weights are worked out once a second, by whoever just [told of an answer](Reports::observe), and
/// turns follow gRPC's static stride. A pick is one counter and a look at a few weights; 100 bytes
/// an endpoint.
///
/// Do not choose it where load changes within seconds: weights follow reports with that delay, and
/// it does not see queues. [`PeakEwma`](crate::PeakEwma) does, and needs no reports. Source: gRPC's
/// proposal A58, "client-side weighted round robin".
#[derive(Debug)]
pub struct WeightedRoundRobin {
    reports: Reports,
    arrivals: Arrivals,
}

#[derive(Debug)]
struct WeightedPicker(Arc<Weighted>);

// === impl WeightedRoundRobin ===

impl WeightedRoundRobin {
    /// From the first turn on.
    #[must_use]
    pub fn new() -> Self {
        Self::taking(RoundRobin::new())
    }

    /// From a turn that `random` gives, so that a fleet of balancers that start together does not
    /// march in step.
    #[must_use]
    pub fn from_rng(random: &mut Random) -> Self {
        Self::taking(RoundRobin::from_rng(random))
    }

    fn taking(turns: RoundRobin) -> Self {
        let settings = Settings {
            blackout: Duration::from_secs(10),
            expiry: Duration::from_secs(180),
            period: Duration::from_secs(1),
            error_penalty: 1.0,
            metrics: Vec::new(),
        };
        Self {
            reports: Reports::new(settings, turns),
            arrivals: Arrivals::default(),
        }
    }

    /// For how long the reports of an endpoint that came, came back, or had none for long are not
    /// yet believed. Default 10 s.
    #[must_use]
    pub fn with_blackout(self, blackout: Duration) -> Self {
        self.with(|settings| settings.blackout = blackout)
    }

    /// How long a report holds. Default 3 min.
    #[must_use]
    pub fn with_expiry(self, expiry: Duration) -> Self {
        self.with(|settings| settings.expiry = expiry)
    }

    /// How often weights are worked out. From 100 ms; default 1 s.
    #[must_use]
    pub fn with_period(self, period: Duration) -> Self {
        let period = period.max(Duration::from_millis(100));
        self.with(|settings| settings.period = period)
    }

    /// How much of a utilization of 1 it is if every request fails. From 0; default 1. Less, and what
    /// is no number, counts as 0.
    #[must_use]
    pub fn with_error_penalty(self, penalty: f64) -> Self {
        self.with(|settings| settings.error_penalty = penalty.max(0.0))
    }

    /// Lets the largest of these metrics be the utilization, by their names in reports (see
    /// [`LoadReport::metric`](super::LoadReport::metric)); those that are missing or not above 0 do
    /// not count. Default none.
    #[must_use]
    pub fn with_metrics(self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.with(|settings| settings.metrics = names)
    }

    /// Where reports are taken in. To be asked for last: settings that are changed later make another.
    #[must_use]
    pub fn reports(&self) -> Reports {
        self.reports.clone()
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        Self {
            reports: self.reports.with_settings(change),
            arrivals: self.arrivals,
        }
    }
}

impl Default for WeightedRoundRobin {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for WeightedRoundRobin {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let snapshot = &snapshot.ramped();
        let arrivals = self.arrivals.since_last(snapshot);
        let is_new = |serial| arrivals.contains(&serial);
        Box::new(WeightedPicker(self.reports.follow(snapshot, is_new)))
    }
}

impl Picker for WeightedPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        self.0.picker().pick(context, random)
    }
}
