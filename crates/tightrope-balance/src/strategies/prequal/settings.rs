//! How a prober works.

use std::{sync::Arc, time::Duration};

use super::{Prequal, Probe, Prober, shared::Shared};

/// The settings of a [`Prequal`]. Made by [`Prequal::builder`].
#[derive(Clone, Debug)]
#[must_use = "builds nothing until it is told to"]
pub struct PrequalBuilder {
    settings: Settings,
}

/// Why a setting of a [`Prequal`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PrequalError {
    /// No share of the endpoints can be hot then.
    #[error("threshold is {quantile} and not between 0 and 1")]
    Threshold {
        /// The quantile as it was given.
        quantile: f64,
    },
    /// Nothing would be known, or more asked than there is room for.
    #[error("probes are {per_request} a request and not between 0.1 and 16")]
    Probes {
        /// The number as it was given.
        per_request: f64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) probes: f64,
    pub(super) threshold: f64,
    pub(super) max_age: Duration,
    pub(super) timeout: Duration,
    pub(super) in_flight: usize,
    pub(super) seed: Option<u64>,
}

/// The shortest time that may be set.
const SHORTEST: Duration = Duration::from_millis(1);

/// The greatest age that may be set.
const OLDEST: Duration = Duration::from_secs(3_600);

// === impl PrequalBuilder ===

impl PrequalBuilder {
    /// Sends this many probes for a request, on average: 0.1 to 16. Default: 3, as in the paper.
    ///
    /// Fewer cost less and know less: with 1 or fewer the reports are used several times each.
    ///
    /// # Errors
    /// It is outside of that range.
    pub fn with_probes(mut self, per_request: f64) -> Result<Self, PrequalError> {
        if !(0.1..=16.0).contains(&per_request) {
            return Err(PrequalError::Probes { per_request });
        }
        self.settings.probes = per_request;
        Ok(self)
    }

    /// Counts an endpoint as hot that has more requests in flight, for its weight, than this
    /// quantile of the last 128 reports: 0 to 1. Default: 0.65.
    ///
    /// At 0 all but the least busy are hot, and latency counts for next to nothing; at 1 hardly
    /// anybody is hot, and the quickest gets all. The paper has 0.84; simulated at 90 % load, from there
    /// on too many run to those that were quick a moment ago.
    ///
    /// # Errors
    /// It is outside of that range.
    pub fn with_threshold(mut self, quantile: f64) -> Result<Self, PrequalError> {
        if !(0.0..=1.0).contains(&quantile) {
            return Err(PrequalError::Threshold { quantile });
        }
        self.settings.threshold = quantile;
        Ok(self)
    }

    /// Uses no report that is older, counted from when its probe was sent. 1 ms to 1 h; default 1 s,
    /// as in the paper.
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.settings.max_age = age.clamp(SHORTEST, OLDEST);
        self
    }

    /// Gives up a probe that takes longer. From 1 ms; default 10 ms.
    ///
    /// That is some round trips between the zones of a region. An endpoint that is too busy to answer
    /// a probe so soon is not missed. Where endpoints are farther away this must be longer.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout.max(SHORTEST);
        self
    }

    /// Awaits no more probes than this at a time; those above are not sent. 0 counts as 1; default
    /// 64.
    ///
    /// This bounds what probing costs under load: reports are then used more often.
    pub const fn with_probes_in_flight(mut self, probes: usize) -> Self {
        self.settings.in_flight = if probes == 0 { 1 } else { probes };
        self
    }

    /// Draws whom to probe from this seed. Default: another one for each.
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// The strategy, and what sends its probes: to be spawned.
    pub fn build(self, probe: impl Probe) -> (Prequal, Prober) {
        let shared = Arc::new(Shared::default());
        let prober = Prober::new(Arc::new(probe), Arc::clone(&shared), self.settings);
        (Prequal { shared }, prober)
    }
}

impl Default for PrequalBuilder {
    fn default() -> Self {
        let settings = Settings {
            probes: 3.0,
            threshold: 0.65,
            max_age: Duration::from_secs(1),
            timeout: Duration::from_millis(10),
            in_flight: 64,
            seed: None,
        };
        Self { settings }
    }
}
