//! When a second copy of a request is sent although the first may still be answered.

use std::{fmt, sync::Arc, time::Duration};

use crate::latency::Latencies;

/// Sends a request to a second endpoint when the first has not answered for a while; whoever gives
/// an acceptable answer first is believed, and the other one is dropped, which counts for nobody and
/// against nobody.
///
/// Only what a [`Policy`](crate::Policy) lets be repeated is hedged, once its whole body was read, and
/// no upgrades. A hedge counts as an attempt and takes from the [`Budget`](crate::Budget); at most two
/// attempts of a request are under way at a time. An attempt that fails has the next one begin at
/// once. An endpoint that [pushes back](crate::RetryLayer::with_retry_after) holds hedges up as well.
///
/// It costs load on purpose: a delay that one request in twenty exceeds adds five percent. Not for
/// requests that are expensive, nor where all endpoints are slow for the same reason.
///
/// Source: J. Dean and L. A. Barroso, "The Tail at Scale", 2013; gRPC A6.
///
/// ```
/// use std::time::Duration;
/// use tightrope_retry::{Hedge, RetryLayer};
///
/// let fixed = Hedge::after(Duration::from_millis(50));
/// let slowest = Hedge::at_percentile(95)?; // of the latencies of the last seconds
/// let layer = RetryLayer::new().with_hedge(slowest);
/// # Ok::<(), tightrope_retry::HedgeError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Hedge {
    when: When,
}

#[derive(Clone)]
enum When {
    After(Duration),
    AtPercentile {
        percentile: u8,
        min_sample: u64,
        latencies: Arc<Latencies>,
    },
}

/// A [`Hedge`] that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HedgeError {
    /// No share of the latencies.
    #[error("percentile is {0}, not from 1 to 99")]
    Percentile(u8),
}

impl Hedge {
    /// After this time.
    pub const fn after(delay: Duration) -> Self {
        Self {
            when: When::After(delay),
        }
    }

    /// After the time within which this share of the requests, in percent, was answered lately: from
    /// 1 to 99. Lately is the last 5 to 10 seconds, in which at least 100 requests must have been
    /// answered, else nothing is hedged. Known to 1 part in 16.
    ///
    /// Clones share what they know.
    ///
    /// # Errors
    /// It is another number.
    pub fn at_percentile(percentile: u8) -> Result<Self, HedgeError> {
        if !(1..=99).contains(&percentile) {
            return Err(HedgeError::Percentile(percentile));
        }
        Ok(Self {
            when: When::AtPercentile {
                percentile,
                min_sample: 100,
                latencies: Arc::new(Latencies::new()),
            },
        })
    }

    /// With another number of requests that must have been answered; nothing changes for a fixed
    /// delay.
    pub fn with_min_sample(mut self, requests: u64) -> Self {
        if let When::AtPercentile { min_sample, .. } = &mut self.when {
            *min_sample = requests;
        }
        self
    }

    /// How long to wait now; none: it is not known.
    pub(crate) fn delay(&self) -> Option<Duration> {
        match &self.when {
            When::After(delay) => Some(*delay),
            When::AtPercentile {
                percentile,
                min_sample,
                latencies,
            } => latencies.percentile(*percentile, *min_sample),
        }
    }

    /// Whether it wants to know how long requests take.
    pub(crate) const fn learns(&self) -> bool {
        matches!(self.when, When::AtPercentile { .. })
    }

    /// An attempt took so long.
    pub(crate) fn learn(&self, latency: Duration) {
        if let When::AtPercentile { latencies, .. } = &self.when {
            latencies.record(latency);
        }
    }
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hedge = f.debug_struct("Hedge");
        match &self.when {
            When::After(delay) => hedge.field("after", delay),
            When::AtPercentile { percentile, .. } => hedge.field("at_percentile", percentile),
        };
        hedge.finish_non_exhaustive()
    }
}
