//! The task behind an outlier detection.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rand::{RngExt, rngs::SmallRng};
use tightrope_upstream::{
    Availability, Change, ChangeError, Ejection, Endpoint, Event, EventKind, Events, Reason,
    Snapshot, Update, Upstream,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    Detector, FailureShare, LatencyFactor, OutlierCounts, SuccessRate,
    counts::Ruling,
    ejection::{Ejections, Times},
    fleet::Outlier,
    tally::{News, Tallies, Tell, Trial},
};

/// How to judge.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) interval: Duration,
    pub(super) success_rate: Option<SuccessRate>,
    pub(super) failure_share: Option<FailureShare>,
    pub(super) latency: Option<LatencyFactor>,
    pub(super) has_probation: bool,
    pub(super) times: Times,
    pub(super) max_ejected: f64,
    pub(super) min_available: usize,
    pub(super) enforcement: [f64; Detector::ALL.len()],
}

/// Ejects, and restores when the time is over.
///
/// Members are told apart by the serial of their record, as in a health check.
pub(super) struct Worker {
    upstream: Upstream,
    settings: Settings,
    tallies: Arc<Tallies>,
    told: mpsc::Receiver<Tell>,
    joined: mpsc::UnboundedReceiver<u64>,
    events: Events,
    counts: OutlierCounts,
    rng: SmallRng,
    /// Of those who were ejected lately.
    ejections: HashMap<u64, Ejections>,
    next_sweep: Instant,
}

/// Somebody who stands out.
struct Suspect {
    serial: u64,
    detector: Detector,
    how: String,
}

// === impl Worker ===

impl Worker {
    pub(super) fn new(
        upstream: Upstream,
        settings: Settings,
        tallies: Arc<Tallies>,
        (told, joined): (mpsc::Receiver<Tell>, mpsc::UnboundedReceiver<u64>),
        counts: OutlierCounts,
        rng: SmallRng,
    ) -> Self {
        Self {
            events: upstream.events(),
            next_sweep: Instant::now() + settings.interval,
            upstream,
            settings,
            tallies,
            told,
            joined,
            counts,
            rng,
            ejections: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let next = self.next();
            // In this order, so that the same inputs lead to the same verdicts.
            tokio::select! {
                biased;
                Some(serial) = self.joined.recv() => self.adopt(serial),
                event = self.events.next() => match event {
                    Ok(Some(event)) if !ends_an_ejection(&event) => {}
                    Ok(None) => return,
                    Ok(Some(_)) | Err(_) => self.notice_restored(),
                },
                Some(tell) = self.told.recv() => self.told(tell),
                () = sleep_until(next) => self.wake(),
            }
        }
    }

    /// Takes over somebody who joins and is ejected already: nobody else would bring it back.
    fn adopt(&mut self, serial: u64) {
        let snapshot = self.upstream.snapshot();
        let is_out = member(&snapshot, serial).is_some_and(|(member, _)| {
            member.record().status().ejection.value() == Ejection::Ejected
        });
        let ejections = self.ejections.get(&serial);
        if is_out && ejections.and_then(Ejections::until).is_none() {
            let time = self.settings.times.draw(1, &mut self.rng);
            self.ejections.entry(serial).or_default().begin(time);
        }
    }

    /// When there is something to be done.
    fn next(&self) -> Instant {
        let ends = self.ejections.values().filter_map(Ejections::until);
        ends.fold(self.next_sweep, Instant::min)
    }

    fn wake(&mut self) {
        let now = Instant::now();
        // First: who comes back only now was not in service up to this sweep.
        if self.next_sweep <= now {
            self.sweep();
            self.next_sweep = now + self.settings.interval;
        }
        self.restore(now);
    }

    /// Takes in that somebody failed too often in a row, or succeeded on trial.
    fn told(&mut self, tell: Tell) {
        let is_news = self
            .tallies
            .find(tell.serial)
            .is_some_and(|tally| tally.era.load(Ordering::Relaxed) == tell.era);
        if !is_news {
            return;
        }
        let (detector, how) = match tell.news {
            News::Failed {
                detector: Detector::Probation,
                last,
                ..
            } => (Detector::Probation, format!("failed on trial: {last}")),
            News::Failed {
                detector,
                failures,
                last,
            } => (
                detector,
                format!("{failures} failures in a row, the last: {last}"),
            ),
            News::Passed => return self.passed(tell.serial),
        };
        self.judge(&Suspect {
            serial: tell.serial,
            detector,
            how,
        });
    }

    /// Brings somebody back who succeeded on trial.
    fn passed(&self, serial: u64) {
        if let Some(tally) = self.tallies.find(serial) {
            tally.end_trial();
        }
        self.readmit(serial, "it succeeded on trial");
    }

    fn readmit(&self, serial: u64, reason: &'static str) {
        if let Some((member, _)) = member(&self.upstream.snapshot(), serial) {
            // An error means that it left meanwhile.
            let _left = apply(
                &self.upstream,
                Change::new().restore(member.id().clone(), reason),
            );
        }
    }

    /// Compares all members with each other, by what was counted since the last time.
    fn sweep(&mut self) {
        let snapshot = self.upstream.snapshot();
        let serials = snapshot
            .members()
            .iter()
            .map(|member| member.record().serial());
        let present: HashSet<u64> = serials.collect();
        self.ejections.retain(|serial, ejections| {
            ejections.fade();
            present.contains(serial) && !ejections.is_over()
        });
        let (mut fleet, mut scores) = (Vec::new(), Vec::new());
        for (member, availability) in snapshot.members().iter().zip(snapshot.availability()) {
            let serial = member.record().serial();
            let Some(tally) = self.tallies.find(serial) else {
                continue;
            };
            let score = tally.take();
            if *availability == Availability::Available {
                fleet.push(serial);
                scores.push(score);
            }
        }
        let settings = &self.settings;
        let found = [
            (
                Detector::SuccessRate,
                settings.success_rate.map(|rule| rule.outliers(&scores)),
            ),
            (
                Detector::FailureShare,
                settings.failure_share.map(|rule| rule.outliers(&scores)),
            ),
            (
                Detector::Latency,
                settings.latency.map(|rule| rule.outliers(&scores)),
            ),
        ];
        let suspects = found.into_iter().flat_map(|(detector, outliers)| {
            let outliers = outliers.unwrap_or_default().into_iter();
            outliers.map(move |(place, how): Outlier| (detector, place, how))
        });
        let suspects = suspects.map(|(detector, place, how)| Suspect {
            serial: fleet[place],
            detector,
            how,
        });
        for suspect in suspects.collect::<Vec<_>>() {
            self.judge(&suspect);
        }
    }

    /// Ejects somebody, unless chance or the cap spares it.
    fn judge(&mut self, suspect: &Suspect) {
        let (serial, detector) = (suspect.serial, suspect.detector);
        let snapshot = self.upstream.snapshot();
        let Some((endpoint, Availability::Available)) = member(&snapshot, serial) else {
            // It left, or is out already: by another detector, by probes, or by hand.
            return;
        };
        let lately = self.ejections.get(&serial).map_or(0, Ejections::lately);
        let time = self.settings.times.draw(lately + 1, &mut self.rng);
        let reason = format!("{}; for {time:?}", suspect.how).into();
        let ruling = if self.rng.random::<f64>() >= self.settings.enforcement[detector as usize] {
            Ruling::ByChance
        } else if self.eject(Arc::clone(&snapshot), endpoint, &reason) {
            self.ejections.entry(serial).or_default().begin(time);
            Ruling::Ejected
        } else {
            Ruling::ByCap
        };
        if ruling != Ruling::Ejected {
            tracing::debug!(endpoint = %endpoint.id(), %detector, how = suspect.how, ?ruling, "spared");
        }
        self.counts.add(detector, ruling);
        if let Some(tally) = self.tallies.find(serial) {
            tally.begin(Trial::None);
        }
        if ruling != Ruling::Ejected {
            // Who was on trial is not any more, since nothing else would end that.
            self.readmit(serial, "spared");
        }
    }

    /// Ejects `endpoint`, unless too many are out.
    fn eject(&self, mut snapshot: Arc<Snapshot>, endpoint: &Endpoint, reason: &Reason) -> bool {
        while self.settings.allow(&snapshot, endpoint) {
            let change = Change::new()
                .if_generation(snapshot.generation())
                .eject(endpoint.id().clone(), reason.clone());
            match apply(&self.upstream, change) {
                // Who else changed something may have ejected somebody.
                Some(Err(ChangeError::Stale { .. })) => snapshot = self.upstream.snapshot(),
                Some(Err(_)) => return false,
                _ => return true,
            }
        }
        false
    }

    /// Tries those out whose time is over, or brings them back.
    fn restore(&mut self, now: Instant) {
        let until = |ejections: &Ejections| ejections.until().filter(|until| *until <= now);
        let ejections = self.ejections.iter();
        let over = ejections.filter_map(|(serial, ejections)| Some((until(ejections)?, *serial)));
        // In order, since it matters who comes back where nobody is left.
        let over: BTreeSet<(Instant, u64)> = over.collect();
        for (_, serial) in over {
            let snapshot = self.upstream.snapshot();
            let Some((member, _)) = member(&snapshot, serial) else {
                self.end(serial, Trial::None);
                continue;
            };
            let trial = if !self.settings.has_probation {
                Trial::None
            } else if others(&snapshot, member).next().is_none() {
                // One attempt at a time will not do where it is all there is.
                Trial::Used
            } else {
                Trial::Open
            };
            self.end(serial, trial);
            let (change, id) = (Change::new(), member.id().clone());
            let reason = "its time is over";
            let change = if trial == Trial::Open {
                change.try_out(id, reason)
            } else {
                change.restore(id, reason)
            };
            // An error means that it left meanwhile.
            let _left = apply(&self.upstream, change);
        }
    }

    /// Takes in that others ended ejections.
    fn notice_restored(&mut self) {
        let snapshot = self.upstream.snapshot();
        for member in snapshot.members() {
            let serial = member.record().serial();
            let is_out = self
                .ejections
                .get(&serial)
                .is_some_and(|ejections| ejections.until().is_some());
            let is_on_trial = || {
                let tally = self.tallies.find(serial);
                tally.is_some_and(|tally| tally.is_on_trial())
            };
            if (is_out || is_on_trial())
                && member.record().status().ejection.value() == Ejection::In
            {
                self.end(serial, Trial::None);
            }
        }
    }

    /// Ends an ejection here; the upstream is told apart from this.
    fn end(&mut self, serial: u64, trial: Trial) {
        if let Some(ejections) = self.ejections.get_mut(&serial) {
            ejections.end();
        }
        if let Some(tally) = self.tallies.find(serial) {
            tally.begin(trial);
        }
    }
}

/// The member whose record has this serial, and its availability.
fn member(snapshot: &Snapshot, serial: u64) -> Option<(&Arc<Endpoint>, Availability)> {
    let members = snapshot.members().iter().zip(snapshot.availability());
    members
        .map(|(member, &availability)| (member, availability))
        .find(|(member, _)| member.record().serial() == serial)
}

const fn ends_an_ejection(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::Ejection {
            ejection: Ejection::In,
            ..
        }
    )
}

// === impl Settings ===

impl Settings {
    /// Whether `endpoint` may go too: others must be left, and no more than the share of those in service
    /// be ejected or on trial then, or one.
    fn allow(&self, snapshot: &Snapshot, endpoint: &Endpoint) -> bool {
        let in_service = snapshot.availability().iter();
        let in_service = in_service.filter(|availability| availability.is_in_service());
        let in_service = in_service.count();
        // By their verdicts: who is unhealthy too, or drained, is ejected still when that is over.
        let of_the_group = snapshot.candidates().iter();
        let out = of_the_group.filter(|&&index| {
            let member = &snapshot.members()[index as usize];
            let status = member.record().status();
            status.ejection.value() != Ejection::In && member.id() != endpoint.id()
        });
        let most = (in_service as f64 * self.max_ejected) as usize;
        let most = most.max(usize::from(self.max_ejected > 0.0));
        let left = others(snapshot, endpoint).take(self.min_available).count();
        in_service > 1 && out.count() < most && left == self.min_available
    }
}

/// Who else is available, and not on trial.
fn others<'s>(
    snapshot: &'s Snapshot,
    endpoint: &'s Endpoint,
) -> impl Iterator<Item = &'s Arc<Endpoint>> {
    let available = snapshot.available().iter();
    let available = available.map(|&index| &snapshot.members()[index as usize]);
    available.filter(|member| {
        member.id() != endpoint.id()
            && member.record().status().ejection.value() != Ejection::OnTrial
    })
}

/// Applies `change`; none where a follower panicked, which leaves the change made.
fn apply(upstream: &Upstream, change: Change) -> Option<Result<Update, ChangeError>> {
    let upstream = AssertUnwindSafe(upstream);
    catch_unwind(|| upstream.apply(change)).ok()
}
