//! The reports that picks choose among.

use std::{
    cmp::Ordering,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering as Memory},
    },
};

use tightrope_upstream::Endpoint;
use tokio::time::Instant;

use super::Report;

/// The reports at one time: what the prober publishes and picks read.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// The oldest first, one for each endpoint.
    pub(super) reports: Box<[Arc<Held>]>,
    pub(super) scale: Scale,
}

/// What reports are judged by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scale {
    /// Who is busier is hot.
    pub(super) threshold: f32,
    /// The latency of those who do not know theirs, in ns.
    pub(super) usual_ns: f32,
}

/// A report, and how often it was used.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) serial: u64,
    report: Report,
    expires: Instant,
    /// How often it may be used.
    budget: u32,
    /// Each use is a request on its way that the report does not know of. May exceed the budget by
    /// picks that crossed and were told no.
    used: AtomicU32,
}

/// How good a choice an endpoint is: the less, the better.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank {
    is_hot: bool,
    load: f32,
    latency_ns: f32,
}

/// With fewer reports there is nothing to choose among.
pub(super) const FEWEST: usize = 2;

// === impl Held ===

impl Held {
    pub(super) const fn new(serial: u64, report: Report, expires: Instant, budget: u32) -> Self {
        Self {
            serial,
            report,
            expires,
            budget,
            used: AtomicU32::new(0),
        }
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now < self.expires
    }

    /// Whether it may be used once more.
    pub(super) fn is_left(&self) -> bool {
        self.used() < self.budget
    }

    /// Uses it once; false if others were faster.
    pub(super) fn take(&self) -> bool {
        // Relaxed, here and below: a count that orders nothing but itself.
        self.used.fetch_add(1, Memory::Relaxed) < self.budget
    }

    pub(super) fn latency_ns(&self) -> Option<f32> {
        self.report.latency.map(ns)
    }

    /// What one more request on `endpoint`, which this is the report of, would meet.
    pub(super) fn rank(&self, endpoint: &Endpoint, scale: Scale) -> Rank {
        let penalty = endpoint.record().penalty() as f32;
        let in_flight = self.report.in_flight as f32 + self.used() as f32;
        let load = load(in_flight, endpoint) * penalty;
        Rank {
            is_hot: load > scale.threshold,
            load,
            latency_ns: self.latency_ns().unwrap_or(scale.usual_ns) * penalty,
        }
    }

    fn used(&self) -> u32 {
        self.used.load(Memory::Relaxed)
    }
}

// === impl Rank ===

impl Rank {
    /// Cold before hot; of the cold the quickest, of the hot the least busy.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let by_load = self.load.total_cmp(&other.load);
        let by_latency = self.latency_ns.total_cmp(&other.latency_ns);
        self.is_hot.cmp(&other.is_hot).then(if self.is_hot {
            by_load.then(by_latency)
        } else {
            by_latency.then(by_load)
        })
    }

    /// A number for it that orders alike: of the cold nearly the latency in seconds, where that is
    /// short, and always below 1; of the hot the load and 1.
    pub(super) fn score(&self) -> f64 {
        if self.is_hot {
            return 1.0 + f64::from(self.load);
        }
        let seconds = f64::from(self.latency_ns) / 1e9;
        seconds / (1.0 + seconds)
    }
}

/// How busy `endpoint` is for its weight, with the request that is about to be sent.
pub(super) fn load(in_flight: f32, endpoint: &Endpoint) -> f32 {
    (in_flight + 1.0) / endpoint.weight().get() as f32
}

fn ns(latency: std::time::Duration) -> f32 {
    (latency.as_nanos() as f32).max(1.0)
}
