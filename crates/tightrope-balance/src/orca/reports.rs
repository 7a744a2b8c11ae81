//! What all endpoints report, and the weights that follow.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tightrope_upstream::{Endpoint, Snapshot};
use tokio::time::Instant;

use super::LoadReport;
use crate::{RoundRobin, strategies::RoundRobinPicker};

/// Takes in what endpoints report: the feedback of [`WeightedRoundRobin`](super::WeightedRoundRobin).
///
/// Cheap to clone; all clones belong to the strategy that gave the first.
#[derive(Clone)]
pub struct Reports(Arc<Shared>);

pub(super) struct Shared {
    settings: Settings,
    /// What times are counted from.
    epoch: Instant,
    /// When weights are worked out again, in ns after `epoch`.
    due: AtomicU64,
    turns: RoundRobin,
    newest: ArcSwapOption<Weighted>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) blackout: Duration,
    pub(super) expiry: Duration,
    pub(super) period: Duration,
    pub(super) error_penalty: f64,
    pub(super) metrics: Vec<String>,
}

/// The endpoints of one snapshot, and the turns that they take by now.
pub(super) struct Weighted {
    snapshot: Arc<Snapshot>,
    slots: HashMap<u64, Arc<Slot>>,
    picker: ArcSwap<RoundRobinPicker>,
}

/// What one endpoint reported.
#[derive(Debug, Default)]
struct Slot(Mutex<Reported>);

#[derive(Clone, Copy, Debug, Default)]
struct Reported {
    weight: f64,
    /// When the newest report came; and the first of those that came without a gap.
    times: Option<(Instant, Instant)>,
}

/// The weights of the scheduler: whole numbers up to this.
const LARGEST: f64 = 65_535.0;

/// How many times heavier or lighter than the mean an endpoint counts at most.
const MOST: f64 = 10.0;

// === impl Reports ===

impl Reports {
    pub(super) fn new(settings: Settings, turns: RoundRobin) -> Self {
        Self(Arc::new(Shared {
            settings,
            epoch: Instant::now(),
            due: AtomicU64::new(0),
            turns,
            newest: ArcSwapOption::empty(),
        }))
    }

    /// `endpoint` answered, with `report` if it had one. Those of endpoints that are not members, and
    /// reports that make no weight (no requests per second, no utilization), say nothing.
    ///
    /// To be told of answers without a report too: with each it is seen whether weights are due
    /// to be worked out again, which takes linear time once a period, and else no more than a look at
    /// the clock.
    pub fn observe(&self, endpoint: &Endpoint, report: Option<&LoadReport>) {
        let (shared, now) = (&*self.0, Instant::now());
        let newest = shared.newest.load();
        let Some(weighted) = newest.as_ref() else {
            return;
        };
        let weight = report.and_then(|report| shared.settings.weight(report));
        if let (Some(weight), Some(slot)) =
            (weight, weighted.slots.get(&endpoint.record().serial()))
        {
            slot.report(weight, now);
        }
        if shared.is_due(now) {
            weighted.weigh(shared, now);
        }
    }

    /// Of the endpoints of `snapshot`; those that `is_new` start without a report.
    pub(super) fn follow(
        &self,
        snapshot: &Arc<Snapshot>,
        is_new: impl Fn(u64) -> bool,
    ) -> Arc<Weighted> {
        let shared = &*self.0;
        let before = shared.newest.load();
        let known = |serial: &u64| before.as_ref()?.slots.get(serial).cloned();
        let slots = snapshot.members().iter().map(|member| {
            let serial = member.record().serial();
            let slot = known(&serial).filter(|_| !is_new(serial));
            (serial, slot.unwrap_or_default())
        });
        let weighted = Arc::new(Weighted {
            snapshot: Arc::clone(snapshot),
            slots: slots.collect(),
            picker: ArcSwap::from_pointee(shared.turns.picker(snapshot)),
        });
        weighted.weigh(shared, Instant::now());
        shared.newest.store(Some(Arc::clone(&weighted)));
        weighted
    }

    /// With other settings, before anything was told.
    pub(super) fn with_settings(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.0.settings.clone();
        change(&mut settings);
        Self::new(settings, self.0.turns.clone())
    }
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    /// Whether it is this caller who works the weights out again.
    fn is_due(&self, now: Instant) -> bool {
        let since = |at: Instant| at.saturating_duration_since(self.epoch).as_nanos() as u64;
        // Relaxed: the time orders nothing but itself.
        let due = self.due.load(Ordering::Relaxed);
        let next = since(now + self.settings.period);
        since(now) >= due
            && self
                .due
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

// === impl Settings ===

impl Settings {
    /// The weight that follows from `report`, if one does.
    fn weight(&self, report: &LoadReport) -> Option<f64> {
        let own = self.metrics.iter().filter_map(|name| report.metric(name));
        let utilization = own
            .filter(|value| *value > 0.0)
            .max_by(f64::total_cmp)
            .or_else(|| Some(report.application_utilization).filter(|&value| value > 0.0))
            .unwrap_or(report.cpu_utilization);
        if !(utilization > 0.0 && report.rps > 0.0) {
            return None;
        }
        let errors = if report.eps > 0.0 {
            report.eps / report.rps
        } else {
            0.0
        };
        let weight = report.rps / (utilization + errors * self.error_penalty);
        weight
            .is_finite()
            .then_some(weight)
            .filter(|&weight| weight > 0.0)
    }
}

// === impl Weighted ===

impl Weighted {
    pub(super) fn picker(&self) -> arc_swap::Guard<Arc<RoundRobinPicker>> {
        self.picker.load()
    }

    /// Lets turns follow the weights as they are `now`.
    fn weigh(&self, shared: &Shared, now: Instant) {
        let picker = match self.weights(&shared.settings, now) {
            Some(weights) => shared.turns.weighted_picker(&self.snapshot, &weights),
            None => shared.turns.picker(&self.snapshot),
        };
        self.picker.store(Arc::new(picker));
    }

    /// Those of the available, in order; `None` with fewer than two reports.
    fn weights(&self, settings: &Settings, now: Instant) -> Option<Vec<u32>> {
        let members = self.snapshot.members();
        let available = self
            .snapshot
            .available()
            .iter()
            .map(|&index| &members[index as usize]);
        let reported: Vec<Option<f64>> = available
            .clone()
            .map(|endpoint| {
                self.slots
                    .get(&endpoint.record().serial())?
                    .weight(settings, now)
            })
            .collect();
        let known = reported.iter().flatten();
        let count = known.clone().count();
        if count < 2 {
            return None;
        }
        let mean = known.sum::<f64>() / count as f64;
        let weights: Vec<f64> = reported
            .into_iter()
            .zip(available)
            .map(|(reported, endpoint)| {
                let relative = reported.map_or(1.0, |weight| weight / mean);
                relative.clamp(1.0 / MOST, MOST) * f64::from(endpoint.weight().get())
            })
            .collect();
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let whole = |weight: f64| (weight / largest * LARGEST).round().max(1.0) as u32;
        Some(weights.into_iter().map(whole).collect())
    }
}

impl fmt::Debug for Weighted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weighted")
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

// === impl Slot ===

impl Slot {
    fn report(&self, weight: f64, now: Instant) {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = reported.times.map_or(now, |(_, first)| first);
        *reported = Reported {
            weight,
            times: Some((now, first)),
        };
    }

    /// The weight, unless it is too old, or reports have not come for long enough.
    fn weight(&self, settings: &Settings, now: Instant) -> Option<f64> {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (newest, first) = reported.times?;
        if now.saturating_duration_since(newest) >= settings.expiry {
            reported.times = None;
            return None;
        }
        let has_settled = now.saturating_duration_since(first) >= settings.blackout;
        has_settled.then_some(reported.weight)
    }
}
