//! What was detected, and what came of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::Detector;

/// What each detector found since the detection began. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct OutlierCounts(Arc<[Slot; Detector::ALL.len()]>);

/// How often a detector found an outlier, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdicts {
    /// It was ejected.
    pub ejected: u64,
    /// It would have been ejected, but the detector is not
    /// [enforced](super::OutlierDetection::with_enforcement) that often.
    pub spared_by_chance: u64,
    /// It would have been ejected, but [too many](super::OutlierDetection::with_max_ejected) are out
    /// already, or it was the last that is available.
    pub spared_by_cap: u64,
}

/// What came of a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    Ejected,
    ByChance,
    ByCap,
}

#[derive(Debug, Default)]
struct Slot {
    ejected: AtomicU64,
    by_chance: AtomicU64,
    by_cap: AtomicU64,
}

impl OutlierCounts {
    /// What came of what `detector` found.
    #[must_use]
    pub fn of(&self, detector: Detector) -> Verdicts {
        let slot = &self.0[detector as usize];
        // Relaxed, here and below: numbers to look at, which order nothing.
        Verdicts {
            ejected: slot.ejected.load(Ordering::Relaxed),
            spared_by_chance: slot.by_chance.load(Ordering::Relaxed),
            spared_by_cap: slot.by_cap.load(Ordering::Relaxed),
        }
    }

    pub(super) fn add(&self, detector: Detector, ruling: Ruling) {
        let slot = &self.0[detector as usize];
        let count = match ruling {
            Ruling::Ejected => &slot.ejected,
            Ruling::ByChance => &slot.by_chance,
            Ruling::ByCap => &slot.by_cap,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
