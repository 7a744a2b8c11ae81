//! The task behind a health check.

use std::{
    collections::{HashMap, HashSet},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tightrope_upstream::{
    Change, ChangeError, Ejection, Endpoint, Event, EventKind, Events, Health, Reason, Upstream,
};
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, sleep},
};
use tracing::Instrument;

use crate::{
    Probe, ProbeError,
    observe::{LiveReport, Reported},
    probe::check,
    schedule::{Pace, Schedule},
    threshold::{Limits, Threshold},
};

/// How to probe.
pub(crate) struct Settings {
    pub(crate) probe: Arc<dyn Probe>,
    pub(crate) timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) schedule: Schedule,
    /// The first probes of those that join together are made over this time.
    pub(crate) spread: Duration,
    /// A place for each probe that may be under way.
    pub(crate) places: Option<Arc<Semaphore>>,
    /// Whether a probe that passes ends an ejection.
    pub(crate) restores: bool,
}

/// Follows the membership of the upstream, probes its members and applies the verdicts.
///
/// Members are told apart by the serial of their record: one that left and came back with a new
/// record is another, of which old results say nothing.
pub(crate) struct Worker {
    upstream: Upstream,
    settings: Settings,
    events: Events,
    reported: Reported,
    monitors: HashMap<u64, Monitor>,
    /// One task for each monitor, which waits and then probes.
    probes: JoinSet<Probed>,
    /// The layout that the monitors follow.
    layout: Option<u64>,
    /// Those that live traffic told against.
    suspects: HashSet<u64>,
}

/// What is kept for one member.
struct Monitor {
    endpoint: Arc<Endpoint>,
    threshold: Threshold,
    next: Armed,
    /// When the last probe that ended had begun.
    probed: Option<Instant>,
    /// The attempts on the endpoint that had ended by then.
    attempts: u64,
}

/// A probe that waits for its time or is under way.
struct Armed {
    at: Instant,
    wait: Duration,
    task: AbortHandle,
}

/// A probe that ended.
struct Probed {
    serial: u64,
    began: Instant,
    answer: Result<(), ProbeError>,
}

/// A verdict to apply.
struct Ruling {
    serial: u64,
    health: Option<Health>,
    /// Whether an ejection is over.
    restores: bool,
    reason: Reason,
}

// === impl Worker ===

impl Worker {
    pub(crate) fn new(upstream: Upstream, settings: Settings, reported: Reported) -> Self {
        Self {
            events: upstream.events(),
            upstream,
            settings,
            reported,
            monitors: HashMap::new(),
            probes: JoinSet::new(),
            layout: None,
            suspects: HashSet::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        self.follow();
        loop {
            // In this order, so that the same inputs lead to the same verdicts. Each is bounded by
            // itself and starves nobody: changes of membership are few, and a probe pauses between
            // two answers.
            tokio::select! {
                biased;
                event = self.events.next() => match event {
                    Ok(Some(event)) if !concerns_members(&event) => {}
                    Ok(None) => return,
                    Ok(Some(_)) | Err(_) => { self.follow(); }
                },
                Some(ended) = self.probes.join_next_with_id() => self.ended(ended),
                Some(report) = self.reported.queue.recv() => self.told(report),
            }
        }
    }

    /// Brings the monitors in line with the newest snapshot; tells its generation.
    fn follow(&mut self) -> u64 {
        let snapshot = self.upstream.snapshot();
        if self.layout.replace(snapshot.layout_generation()) == Some(snapshot.layout_generation()) {
            return snapshot.generation();
        }
        let members = snapshot.members().iter();
        let present: HashSet<u64> = members.map(|member| member.record().serial()).collect();
        self.monitors.retain(|serial, monitor| {
            let stays = present.contains(serial);
            if !stays {
                monitor.next.task.abort();
            }
            stays
        });
        self.suspects.retain(|serial| present.contains(serial));
        self.reported.suspects.set(self.suspects.iter().copied());
        let mut joined = Vec::new();
        for member in snapshot.members() {
            match self.monitors.get_mut(&member.record().serial()) {
                Some(known) if known.endpoint.address() == member.address() => {
                    known.endpoint = Arc::clone(member);
                }
                moved => {
                    // What was found at another address says nothing of this one.
                    if let Some(moved) = moved {
                        moved.next.task.abort();
                    }
                    joined.push(member);
                }
            }
        }
        let count = joined.len();
        for (index, member) in joined.into_iter().enumerate() {
            let wait = self.settings.spread.mul_f64(index as f64 / count as f64);
            let next = self.settings.arm(&mut self.probes, member, wait);
            let monitor = Monitor::new(Arc::clone(member), next);
            self.monitors.insert(member.record().serial(), monitor);
        }
        snapshot.generation()
    }

    /// Takes in the probe that ended, and all others that did meanwhile, so that many verdicts
    /// at a time are one change.
    fn ended(&mut self, first: Result<(Id, Probed), JoinError>) {
        let mut rulings = Vec::new();
        let mut ended = Some(first);
        while let Some(result) = ended {
            rulings.extend(self.judge(result));
            ended = self.probes.try_join_next_with_id();
        }
        self.apply(rulings);
    }

    fn judge(&mut self, ended: Result<(Id, Probed), JoinError>) -> Option<Ruling> {
        let (id, probed) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), self.panicked(&error)?),
        };
        let serial = probed.serial;
        let monitor = self.monitors.get_mut(&serial)?;
        if monitor.next.task.id() != id {
            return None; // it ended just before it was called off
        }
        monitor.probed = Some(probed.began);
        let (health, limits) = (monitor.health(), self.settings.limits);
        let (verdict, reason) = match &probed.answer {
            Ok(()) => (
                monitor.threshold.passed(health, limits),
                Reason::from("probe: passed"),
            ),
            Err(error) => (monitor.threshold.failed(health, limits), error.reason()),
        };
        let pace = monitor.pace(verdict.unwrap_or(health));
        let pause = self.settings.schedule.draw(pace);
        let pause = pause.saturating_sub(probed.began.elapsed()).max(BREATH);
        monitor.next = self
            .settings
            .arm(&mut self.probes, &monitor.endpoint, pause);
        let restores = self.settings.restores
            && probed.answer.is_ok()
            && monitor.was_ejected_before(probed.began);
        self.suspect(serial);
        (restores || verdict.is_some()).then_some(Ruling {
            serial,
            health: verdict,
            restores,
            reason,
        })
    }

    /// What a probe that panicked stands for. Nothing, if it was called off.
    fn panicked(&self, error: &JoinError) -> Option<Probed> {
        if !error.is_panic() {
            return None;
        }
        let mut monitors = self.monitors.iter();
        let (&serial, _) = monitors.find(|(_, monitor)| monitor.next.task.id() == error.id())?;
        Some(Probed {
            serial,
            began: Instant::now(),
            answer: Err(ProbeError::Panicked),
        })
    }

    /// Takes in what live traffic tells.
    fn told(&mut self, report: LiveReport) {
        let serial = report.serial;
        let Some(monitor) = self.monitors.get_mut(&serial) else {
            return;
        };
        let health = monitor.health();
        match report.failure {
            Some(failure) => {
                let verdict = monitor.threshold.live_failed(health, self.settings.limits);
                let schedule = &mut self.settings.schedule;
                let after = match verdict {
                    // What it waits for may be the interval of those that are healthy.
                    Some(_) => Some(schedule.draw(Pace::Unhealthy)),
                    None => (health == Health::Healthy).then(|| schedule.hurried()),
                };
                if let Some(after) = after {
                    self.settings.hurry(&mut self.probes, monitor, after);
                }
                let ruling = verdict.map(|health| Ruling {
                    serial,
                    health: Some(health),
                    restores: false,
                    reason: format!("live traffic: {failure}").into(),
                });
                self.apply(ruling.into_iter().collect());
            }
            None => monitor.threshold.live_succeeded(),
        }
        self.suspect(serial);
    }

    /// Counts a member among the suspects or not, as its threshold says by now.
    fn suspect(&mut self, serial: u64) {
        let monitor = self.monitors.get(&serial);
        let changed = if monitor.is_some_and(|monitor| monitor.threshold.is_suspect()) {
            self.suspects.insert(serial)
        } else {
            self.suspects.remove(&serial)
        };
        if changed {
            self.reported.suspects.set(self.suspects.iter().copied());
        }
    }

    /// Applies the rulings on those that are still members, as one change.
    fn apply(&mut self, mut rulings: Vec<Ruling>) {
        while !rulings.is_empty() {
            let generation = self.follow();
            let mut change = Change::new().if_generation(generation);
            rulings.retain(|ruling| self.monitors.contains_key(&ruling.serial));
            for ruling in &rulings {
                let id = self.monitors[&ruling.serial].endpoint.id().clone();
                if ruling.restores {
                    change = change.restore(id.clone(), ruling.reason.clone());
                }
                if let Some(health) = ruling.health {
                    change = change.set_health(id, health, ruling.reason.clone());
                }
            }
            // A member may have left, or come back as another, since the snapshot was read.
            // A follower that panics has the change made all the same, and must not end the check.
            let upstream = AssertUnwindSafe(&self.upstream);
            match catch_unwind(|| upstream.apply(change)) {
                Ok(Err(ChangeError::Stale { .. })) => {}
                _ => return,
            }
        }
    }
}

// === impl Settings ===

impl Settings {
    /// Has `endpoint` probed after `wait`, and then as soon as there is a place for one more.
    fn arm(&self, probes: &mut JoinSet<Probed>, endpoint: &Arc<Endpoint>, wait: Duration) -> Armed {
        let (endpoint, probe) = (Arc::clone(endpoint), Arc::clone(&self.probe));
        let (timeout, places) = (self.timeout, self.places.clone());
        let waits_and_probes = async move {
            if !wait.is_zero() {
                sleep(wait).await;
            }
            // Places are given in the order in which they were asked for, and never closed.
            let _place = match &places {
                Some(places) => places.acquire().await.ok(),
                None => None,
            };
            let began = Instant::now();
            Probed {
                serial: endpoint.record().serial(),
                began,
                answer: check(&*probe, &endpoint, timeout).await,
            }
        };
        Armed {
            at: Instant::now(),
            wait,
            task: probes.spawn(waits_and_probes.in_current_span()),
        }
    }

    /// Has a member probed without waiting for its time: this long after the start of its last probe.
    fn hurry(&self, probes: &mut JoinSet<Probed>, monitor: &mut Monitor, after: Duration) {
        let left = monitor.next.wait.saturating_sub(monitor.next.at.elapsed());
        let wait = monitor.probed.map_or(Duration::ZERO, |began| {
            after.saturating_sub(began.elapsed())
        });
        // Nothing is left where the probe is under way.
        if wait < left {
            monitor.next.task.abort();
            monitor.next = self.arm(probes, &monitor.endpoint, wait);
        }
    }
}

// === impl Monitor ===

impl Monitor {
    fn new(endpoint: Arc<Endpoint>, next: Armed) -> Self {
        Self {
            attempts: attempts(&endpoint),
            endpoint,
            threshold: Threshold::default(),
            next,
            probed: None,
        }
    }

    /// How soon to ask again, after a probe that left the endpoint `health`.
    fn pace(&mut self, health: Health) -> Pace {
        let before = mem::replace(&mut self.attempts, attempts(&self.endpoint));
        let is_idle = self.attempts == before && self.endpoint.record().in_flight() == 0;
        if self.threshold.is_changing(health) {
            Pace::Changing
        } else if health == Health::Unhealthy {
            Pace::Unhealthy
        } else if is_idle {
            Pace::Idle
        } else {
            Pace::Healthy
        }
    }

    fn health(&self) -> Health {
        self.endpoint.record().status().health.value()
    }

    /// Whether it is ejected, and a probe that began then knows more: one that was sent earlier says
    /// nothing of how the endpoint is now.
    fn was_ejected_before(&self, began: Instant) -> bool {
        let ejection = self.endpoint.record().status().ejection;
        ejection.value() != Ejection::In && began.elapsed() < ejection.age()
    }
}

/// The attempts on `endpoint` that ended.
fn attempts(endpoint: &Endpoint) -> u64 {
    let totals = endpoint.record().totals();
    totals.succeeded + totals.failed + totals.cancelled
}

/// The shortest pause between two probes of an endpoint, however short the interval.
const BREATH: Duration = Duration::from_millis(1);

/// Whether members came, went or changed.
const fn concerns_members(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::Added { .. } | EventKind::Removed { .. } | EventKind::Changed { .. }
    )
}
