//! The sick rather than nobody.

use std::sync::Arc;

use tightrope_upstream::{Availability, Snapshot};

use crate::{Picker, Strategy};

/// Any strategy, choosing among the unhealthy and ejected too when few are available.
///
/// Without it a request fails at once when nobody is available, which is the right default: the
/// client learns it soon, and endpoints that struggle are left alone. Choose this where probes
/// may be wrong about everybody at once, and [with a panic
/// threshold](Self::with_panic_threshold) where the few that are left would be overrun by the traffic
/// of all. Drained, standby and weightless endpoints stay out, and do not count.
#[derive(Clone, Copy, Debug)]
pub struct FailOpen<T> {
    inner: T,
    threshold: Percent,
}

/// From 0 to 100.
#[derive(Clone, Copy, Debug)]
pub(super) struct Percent(u32);

// === impl FailOpen ===

impl<T> FailOpen<T> {
    /// `inner`, which never finds everybody unavailable for their health.
    pub const fn new(inner: T) -> Self {
        Self {
            inner,
            threshold: Percent::new(0),
        }
    }

    /// Ignores health while less than `percent` of those in service are available: each gets its
    /// share then, so that the healthy ones are not overrun, at the price of the requests that the
    /// others fail. More than 100 counts as 100. Default: 0, only when nobody is available. Envoy's
    /// default is 50.
    #[must_use]
    pub const fn with_panic_threshold(mut self, percent: u32) -> Self {
        self.threshold = Percent::new(percent);
        self
    }
}

impl<T: Strategy> Strategy for FailOpen<T> {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let available = snapshot.available().len();
        if available == 0 || self.threshold.is_above(available, in_service(snapshot)) {
            self.inner.build(&Arc::new(snapshot.ignoring_health()))
        } else {
            self.inner.build(snapshot)
        }
    }
}

// === impl Percent ===

impl Percent {
    /// More counts as 100.
    pub(super) const fn new(percent: u32) -> Self {
        Self(if percent > 100 { 100 } else { percent })
    }

    pub(super) const fn get(self) -> u32 {
        self.0
    }

    /// Whether `part` of `whole` is less.
    pub(super) const fn is_above(self, part: usize, whole: usize) -> bool {
        (part as u64) * 100 < (whole as u64) * (self.0 as u64)
    }
}

/// How many members may be picked, were it not for their health.
pub(super) fn in_service(snapshot: &Snapshot) -> usize {
    let candidates = snapshot.candidates().iter();
    candidates
        .filter(|&&index| Availability::is_in_service(snapshot.availability()[index as usize]))
        .count()
}
