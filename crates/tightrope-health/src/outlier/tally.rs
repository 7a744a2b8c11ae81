//! What live traffic told of each endpoint since the last sweep.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use tightrope_upstream::{Failure, Follower, Snapshot};
use tokio::sync::mpsc;

use super::{Detector, fleet::Score};

/// What live traffic told of one endpoint. On cache lines of its own: neighbours are written to by
/// other threads.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Tally {
    pub(super) serial: u64,
    pub(super) limits: Limits,
    /// One for each endpoint, so that attempts need not share one.
    tells: mpsc::Sender<Tell>,
    /// Which ejection it is: answers to what was sent in an earlier one are ignored.
    pub(super) era: AtomicU32,
    pub(super) is_on_probation: AtomicBool,
    /// In a row.
    pub(super) failures: AtomicU32,
    pub(super) gateway: AtomicU32,
    pub(super) local: AtomicU32,
    succeeded: AtomicU64,
    failed: AtomicU64,
    latency_ns: AtomicU64,
    answered: AtomicU64,
}

/// How many failures in a row are too many, of each kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) failures: Option<u32>,
    pub(super) gateway: Option<u32>,
    /// If there is one, the others count answers only.
    pub(super) local: Option<u32>,
    pub(super) judges_latency: bool,
}

/// Somebody failed too often in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tell {
    pub(super) serial: u64,
    pub(super) era: u32,
    pub(super) detector: Detector,
    pub(super) failures: u32,
    pub(super) last: Failure,
}

/// The tallies of all members: read for every request, made anew when somebody joins or leaves.
#[derive(Debug)]
pub(super) struct Tallies {
    limits: Limits,
    tells: mpsc::Sender<Tell>,
    /// By their serials, in order. These stand here too, so that a search reads one piece of memory.
    all: ArcSwap<Vec<(u64, Arc<Tally>)>>,
}

// === impl Tally ===

impl Tally {
    const fn new(serial: u64, limits: Limits, tells: mpsc::Sender<Tell>) -> Self {
        Self {
            serial,
            limits,
            tells,
            era: AtomicU32::new(0),
            is_on_probation: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            gateway: AtomicU32::new(0),
            local: AtomicU32::new(0),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            latency_ns: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    /// Tells that there were so many failures in a row.
    pub(super) fn tell(&self, era: u32, detector: Detector, failures: u32, last: Failure) {
        // An error means that the queue is full, or nobody reads it any more.
        let _dropped = self.tells.try_send(Tell {
            serial: self.serial,
            era,
            detector,
            failures,
            last,
        });
    }

    // Relaxed, in all of this file: numbers that order nothing but themselves.

    pub(super) fn succeeded(&self) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, latency_ns: u64) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.latency_ns.fetch_add(latency_ns, Ordering::Relaxed);
    }

    /// Counts one more in a row; gives how many that makes.
    pub(super) fn in_a_row(count: &AtomicU32) -> u32 {
        count.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Ends a row. Writes nothing where there is none, which is nearly always.
    pub(super) fn end_row(count: &AtomicU32) {
        if count.load(Ordering::Relaxed) != 0 {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// What was counted since the last time, which begins anew.
    pub(super) fn take(&self) -> Score {
        Score {
            succeeded: self.succeeded.swap(0, Ordering::Relaxed),
            failed: self.failed.swap(0, Ordering::Relaxed),
            latency_ns: self.latency_ns.swap(0, Ordering::Relaxed),
            answered: self.answered.swap(0, Ordering::Relaxed),
        }
    }

    /// Forgets everything, and what is told of requests that were sent before.
    pub(super) fn begin(&self, is_on_probation: bool) {
        self.era.fetch_add(1, Ordering::Relaxed);
        for row in [&self.failures, &self.gateway, &self.local] {
            row.store(0, Ordering::Relaxed);
        }
        self.take();
        self.is_on_probation
            .store(is_on_probation, Ordering::Relaxed);
    }
}

// === impl Tallies ===

impl Tallies {
    pub(super) fn new(limits: Limits, tells: mpsc::Sender<Tell>) -> Self {
        Self {
            limits,
            tells,
            all: ArcSwap::default(),
        }
    }

    /// That of the endpoint whose record has this serial.
    pub(super) fn find(&self, serial: u64) -> Option<Arc<Tally>> {
        let all = self.all.load();
        // Serials are given in turn: it is no further from the first than its serial is from that
        // one's, and just there if all joined together.
        let ahead = serial.checked_sub(all.first()?.0)?;
        let most = all.len().min(usize::try_from(ahead).ok()? + 1);
        let (last, before) = all[..most].split_last()?;
        if last.0 == serial {
            return Some(Arc::clone(&last.1));
        }
        let place = before.binary_search_by_key(&serial, |(serial, _)| *serial);
        place.ok().map(|place| Arc::clone(&before[place].1))
    }
}

impl Follower for Tallies {
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        let before = self.all.load();
        let members = snapshot.members().iter();
        let mut serials: Vec<u64> = members.map(|member| member.record().serial()).collect();
        serials.sort_unstable();
        if serials.iter().eq(before.iter().map(|(serial, _)| serial)) {
            return;
        }
        let tally = |serial| {
            let new = || Arc::new(Tally::new(serial, self.limits, self.tells.clone()));
            (serial, self.find(serial).unwrap_or_else(new))
        };
        self.all
            .store(Arc::new(serials.into_iter().map(tally).collect()));
    }
}

#[cfg(test)]
mod tests {
    use tightrope_upstream::{Change, EndpointSpec, Upstream};

    use super::*;

    #[test]
    fn members_are_found_whenever_they_joined_and_nobody_else_is() {
        let upstream = Upstream::new("test");
        let limits = Limits {
            failures: None,
            gateway: None,
            local: None,
            judges_latency: false,
        };
        let tallies = Arc::new(Tallies::new(limits, mpsc::channel(1).0));
        let follower: Arc<dyn Follower> = Arc::<Tallies>::clone(&tallies);
        upstream.follow(Arc::downgrade(&follower));
        let serials = || -> Vec<u64> {
            let members = upstream.snapshot();
            let members = members.members().iter();
            members.map(|member| member.record().serial()).collect()
        };
        assert!(tallies.find(1).is_none());

        let spec = |n: u16| EndpointSpec::new(format!("10.0.0.1:{}", n + 1).parse().unwrap());
        let mut gone = Vec::new();
        // All at once, then every third leaves, then some join, then the first leave.
        for change in [
            Change::new().replace((0..60).map(spec)),
            Change::new().replace((0..60).filter(|n| n % 3 > 0).map(spec)),
            Change::new().replace((0..90).filter(|n| n % 3 > 0).map(spec)),
            Change::new().replace((40..90).filter(|n| n % 3 > 0).map(spec)),
        ] {
            let before = serials();
            upstream.apply(change).unwrap();
            let members = serials();
            gone.extend(before.into_iter().filter(|it| !members.contains(it)));
            for &serial in &members {
                assert_eq!(tallies.find(serial).unwrap().serial, serial);
            }
            for serial in gone.iter().copied().chain([0, u64::MAX]) {
                assert!(tallies.find(serial).is_none());
            }
        }
        assert_eq!(gone.len(), 46);
    }
}
