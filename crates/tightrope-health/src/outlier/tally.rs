//! What live traffic told of each endpoint since the last sweep.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tightrope_upstream::{Ejection, Failure, Follower, Record, Snapshot};
use tokio::{sync::mpsc, time::Instant};

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
    trial: AtomicU8,
    /// When the last of those in a row was, in ns since the tallies began; kept where rows are
    /// remembered.
    failed_at: AtomicU64,
    epoch: Instant,
    /// In a row.
    pub(super) failures: AtomicU32,
    pub(super) gateway: AtomicU32,
    pub(super) local: AtomicU32,
    succeeded: AtomicU64,
    failed: AtomicU64,
    latency_ns: AtomicU64,
    answered: AtomicU64,
}

/// Whether one attempt decides on an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// It is like any other.
    None,
    /// It is on trial, and nothing ended yet.
    Open,
    /// The same, but it gets all of its share, since nobody else was left.
    Used,
    /// It succeeded, which was not seen to yet.
    Passed,
}

/// How many failures in a row are too many, of each kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) failures: Option<u32>,
    pub(super) gateway: Option<u32>,
    /// If there is one, the others count answers only.
    pub(super) local: Option<u32>,
    /// A success ends a row this long after the last of it.
    pub(super) memory: Duration,
    pub(super) judges_latency: bool,
}

/// Something that is not to wait for a sweep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tell {
    pub(super) serial: u64,
    pub(super) era: u32,
    pub(super) news: News,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    /// It failed too often in a row.
    Failed {
        detector: Detector,
        failures: u32,
        last: Failure,
    },
    /// It succeeded on trial.
    Passed,
}

/// The tallies of all members: read for every request, made anew when somebody joins or leaves.
#[derive(Debug)]
pub(super) struct Tallies {
    limits: Limits,
    epoch: Instant,
    tells: mpsc::Sender<Tell>,
    /// The serials of those who are ejected as they join: they left, and came back with their record.
    joined: mpsc::UnboundedSender<u64>,
    /// By their serials, in order. These stand here too, so that a search reads one piece of memory.
    all: ArcSwap<Vec<(u64, Arc<Tally>)>>,
}

// === impl Tally ===

impl Tally {
    const fn new(
        serial: u64,
        limits: Limits,
        epoch: Instant,
        tells: mpsc::Sender<Tell>,
        trial: Trial,
    ) -> Self {
        Self {
            serial,
            limits,
            tells,
            epoch,
            failed_at: AtomicU64::new(0),
            era: AtomicU32::new(0),
            trial: AtomicU8::new(trial as u8),
            failures: AtomicU32::new(0),
            gateway: AtomicU32::new(0),
            local: AtomicU32::new(0),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            latency_ns: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    /// Tells what happened in this era.
    pub(super) fn tell(&self, era: u32, news: News) {
        // An error means that the queue is full, or nobody reads it any more.
        let _dropped = self.tells.try_send(Tell {
            serial: self.serial,
            era,
            news,
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
    pub(super) fn in_a_row(&self, count: &AtomicU32) -> u32 {
        if !self.limits.memory.is_zero() {
            self.failed_at.store(self.age(), Ordering::Relaxed);
        }
        count.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Ends a row, unless it is remembered. Writes nothing where there is none, which is nearly always.
    pub(super) fn end_row(&self, count: &AtomicU32) {
        if count.load(Ordering::Relaxed) != 0 && !self.remembers() {
            count.store(0, Ordering::Relaxed);
        }
    }

    fn remembers(&self) -> bool {
        let memory = self.limits.memory;
        let ago = || {
            self.age()
                .saturating_sub(self.failed_at.load(Ordering::Relaxed))
        };
        !memory.is_zero() && Duration::from_nanos(ago()) <= memory
    }

    /// In ns.
    fn age(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Tells that it succeeded on trial, if it is, until that was seen to.
    pub(super) fn pass(&self, era: u32) {
        if !self.is(Trial::None) {
            self.set(Trial::Passed);
            self.tell(era, News::Passed);
        }
    }

    /// Whether its first failure is one too many.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.is(Trial::Open) || self.is(Trial::Used)
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.is(Trial::Open) || self.is(Trial::Passed)
    }

    /// Not a new era: what others report of it is of now.
    pub(super) fn end_trial(&self) {
        self.set(Trial::None);
    }

    fn is(&self, trial: Trial) -> bool {
        self.trial.load(Ordering::Relaxed) == trial as u8
    }

    fn set(&self, trial: Trial) {
        self.trial.store(trial as u8, Ordering::Relaxed);
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
    pub(super) fn begin(&self, trial: Trial) {
        self.era.fetch_add(1, Ordering::Relaxed);
        for row in [&self.failures, &self.gateway, &self.local] {
            row.store(0, Ordering::Relaxed);
        }
        self.take();
        self.set(trial);
    }
}

// === impl Tallies ===

impl Tallies {
    pub(super) fn new(
        limits: Limits,
        tells: mpsc::Sender<Tell>,
        joined: mpsc::UnboundedSender<u64>,
    ) -> Self {
        Self {
            limits,
            epoch: Instant::now(),
            tells,
            joined,
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

    /// A tally for somebody who joins, who may be out already.
    fn join(&self, record: &Record) -> Arc<Tally> {
        let (serial, limits) = (record.serial(), self.limits);
        let trial = match record.status().ejection.value() {
            Ejection::OnTrial => Trial::Open,
            Ejection::Ejected => {
                // An error means that the detection is over.
                let _over = self.joined.send(serial);
                Trial::None
            }
            _ => Trial::None,
        };
        let tells = self.tells.clone();
        Arc::new(Tally::new(serial, limits, self.epoch, tells, trial))
    }
}

impl Follower for Tallies {
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        let before = self.all.load();
        let members = snapshot.members().iter();
        let mut records: Vec<&Arc<Record>> = members.map(|member| member.record()).collect();
        records.sort_unstable_by_key(|record| record.serial());
        let serials = records.iter().map(|record| record.serial());
        if serials.eq(before.iter().map(|(serial, _)| *serial)) {
            return;
        }
        let tally = |record: &Arc<Record>| {
            let serial = record.serial();
            (
                serial,
                self.find(serial).unwrap_or_else(|| self.join(record)),
            )
        };
        self.all
            .store(Arc::new(records.into_iter().map(tally).collect()));
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
            memory: Duration::ZERO,
            judges_latency: false,
        };
        let tallies = Arc::new(Tallies::new(
            limits,
            mpsc::channel(1).0,
            mpsc::unbounded_channel().0,
        ));
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
