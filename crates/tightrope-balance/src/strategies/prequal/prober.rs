//! Keeps the pool.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll},
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tightrope_upstream::Endpoint;
use tokio::time::{Instant, timeout};

use super::{
    Probe, Report,
    pool::{FEWEST, Held, Pool, Scale, load},
    recent::Recent,
    settings::Settings,
    shared::Shared,
    targets::Targets,
};
use crate::{Context, Random, strategies::draw::Draw};

/// Sends the probes of a [`Prequal`](crate::Prequal) and keeps their reports: a future for a task
/// of its own.
///
/// Probes are sent for requests, so without requests it sleeps. It ends when the strategy is
/// dropped, with its balancer.
///
/// # Panics
/// When polled outside of a tokio runtime with timers, and where a probe panics.
///
/// # Cancellation
/// It may be dropped at any time, and so are the probes that it awaits. Picks then do without
/// reports.
#[must_use = "nothing is probed until it is spawned"]
pub struct Prober {
    probe: Arc<dyn Probe>,
    shared: Arc<Shared>,
    settings: Settings,
    random: Random,
    asked: FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// The serials of those whose answer is awaited.
    awaited: Vec<u64>,
    /// The oldest first, one for each endpoint.
    reports: Vec<Arc<Held>>,
    recent: Recent,
    ledger: Ledger,
    /// Who is available by now; none between polls.
    targets: Option<Arc<Targets>>,
    /// Pools that were replaced while a pick still read them. They are freed here, so that no
    /// request pays for it.
    retired: Vec<Arc<Pool>>,
}

/// What came of a probe.
struct Answer {
    endpoint: Arc<Endpoint>,
    sent: Instant,
    /// `None` where it failed.
    report: Option<Report>,
}

/// What is owed for picks, in parts.
#[derive(Debug)]
struct Ledger {
    probes: f64,
    removals: f64,
    /// The reports that come for a pick, on average.
    inflow: f64,
    /// Which of the two is removed next.
    removes_worst: bool,
}

/// The most reports at a time: m in the paper.
const MOST: usize = 16;

/// The reports that are removed for a pick, where all probes are answered: r_remove in the paper.
const REMOVALS: f64 = 1.0;

/// How much faster than it drains the pool is to fill: δ in the paper.
const SURPLUS: f64 = 1.0;

/// The most uses of a report.
const MOST_USES: f64 = 16.0;

/// The picks over which the inflow is averaged.
const AVERAGED: f64 = 128.0;

// === impl Prober ===

impl Prober {
    pub(super) fn new(probe: Arc<dyn Probe>, shared: Arc<Shared>, settings: Settings) -> Self {
        Self {
            probe,
            shared,
            // Not as a balancer of the same seed would draw: without reports it would pick whom it
            // just asked.
            random: settings
                .seed
                .map_or_else(Random::from_os, |seed| Random::from_seed(!seed)),
            asked: FuturesUnordered::new(),
            awaited: Vec::new(),
            reports: Vec::new(),
            recent: Recent::default(),
            ledger: Ledger {
                probes: 0.0,
                removals: 0.0,
                inflow: settings.probes,
                removes_worst: false,
            },
            settings,
            targets: None,
            retired: Vec::new(),
        }
    }

    /// Does what is owed for these picks.
    fn pay(&mut self, picks: u64) {
        let picks = picks as f64;
        let averaged = picks.min(AVERAGED);
        self.ledger.inflow -= self.ledger.inflow * averaged / AVERAGED;
        // Where fewer reports come than there should, fewer are removed.
        let answered = self.ledger.inflow / self.settings.probes;
        self.ledger.removals += picks * REMOVALS * answered;
        while self.ledger.removals >= 1.0 && self.reports.len() > FEWEST {
            self.ledger.removals -= 1.0;
            self.remove();
        }
        self.ledger.removals = self.ledger.removals.fract();
        self.ledger.probes += picks * self.settings.probes;
        let probes = self.ledger.probes.trunc();
        self.ledger.probes -= probes;
        self.send(probes as usize);
    }

    /// Removes the oldest report or the worst, in turn.
    fn remove(&mut self) {
        let worst = self.ledger.removes_worst.then(|| self.worst()).flatten();
        self.ledger.removes_worst = !self.ledger.removes_worst;
        self.reports.remove(worst.unwrap_or(0));
    }

    fn worst(&self) -> Option<usize> {
        let (targets, scale) = (self.targets.as_deref()?, self.scale());
        let ranks = self.reports.iter().enumerate().filter_map(|(place, held)| {
            let endpoint = targets.endpoint(targets.find(held.serial)?);
            Some((place, held.rank(endpoint, scale)))
        });
        let worst = ranks.max_by(|(_, a), (_, b)| a.order(b));
        worst.map(|(place, _)| place)
    }

    /// Probes this many, or as many as may be awaited; whom an answer is awaited of is not asked
    /// again.
    fn send(&mut self, mut probes: usize) {
        let Some(targets) = self.targets.clone() else {
            return;
        };
        loop {
            let before = self.awaited.len();
            let room = self.settings.in_flight.saturating_sub(before);
            let count = probes.min(room).min(Draw::MOST);
            if count == 0 {
                return;
            }
            let drawn = targets
                .draw()
                .some(count, &Context::new(), &mut self.random);
            for index in drawn.iter() {
                let endpoint = targets.endpoint(index);
                let serial = endpoint.record().serial();
                if !self.awaited.contains(&serial) {
                    self.awaited.push(serial);
                    let probe = Arc::clone(&self.probe);
                    let answer = ask(probe, Arc::clone(endpoint), self.settings);
                    self.asked.push(Box::pin(answer));
                }
            }
            probes -= count;
            if self.awaited.len() == before {
                return;
            }
        }
    }

    fn take_in(&mut self, answer: Answer) {
        let serial = answer.endpoint.record().serial();
        self.awaited.retain(|&awaited| awaited != serial);
        let (Some(report), Some(targets)) = (answer.report, &self.targets) else {
            return;
        };
        self.ledger.inflow += 1.0 / AVERAGED;
        let Some(index) = targets.find(serial) else {
            return;
        };
        let load = load(report.in_flight as f32, targets.endpoint(index));
        self.recent.add(load);
        self.reports.retain(|held| held.serial != serial);
        if self.reports.len() == MOST {
            self.reports.remove(0);
        }
        let expires = answer.sent + self.settings.max_age;
        let budget = self.budget(targets.count());
        self.reports
            .push(Arc::new(Held::new(serial, report, expires, budget)));
    }

    /// How often a report may be used, where there are `count` endpoints: a whole number that is
    /// right on average.
    fn budget(&mut self, count: usize) -> u32 {
        // The paper's equation 1, with the reports that do come in place of r_probe.
        let inflow = self.ledger.inflow;
        let removed = REMOVALS * inflow / self.settings.probes;
        let news = (1.0 - MOST as f64 / count as f64) * inflow - removed;
        // Where nearly every report replaces one of the same endpoint they are so fresh that they
        // may be used as often as it takes.
        let uses = (1.0 + SURPLUS) / news.max((1.0 + SURPLUS) / MOST_USES);
        let uses = uses.max(1.0);
        uses as u32 + u32::from(self.random.unit() < uses.fract())
    }

    fn scale(&self) -> Scale {
        let mut known = [0.0; MOST];
        let latencies = self.reports.iter().filter_map(|held| held.latency_ns());
        let mut count = 0;
        for (place, latency) in known.iter_mut().zip(latencies) {
            *place = latency;
            count += 1;
        }
        let known = &mut known[..count];
        known.sort_unstable_by(f32::total_cmp);
        Scale {
            threshold: self.recent.quantile(self.settings.threshold),
            usual_ns: known.get(count / 2).copied().unwrap_or(1.0),
        }
    }

    /// Forgets reports that nobody may use any more.
    fn forget(&mut self, now: Instant) {
        let targets = self.targets.as_deref();
        self.reports.retain(|held| {
            let is_there = targets.is_some_and(|targets| targets.find(held.serial).is_some());
            is_there && held.is_left() && held.is_fresh(now)
        });
    }

    fn publish(&mut self) {
        let pool = Pool {
            scale: self.scale(),
            reports: self.reports.iter().map(Arc::clone).collect(),
        };
        self.retired.push(self.shared.publish(pool));
        self.retired.retain(|pool| Arc::strong_count(pool) > 1);
    }
}

impl Future for Prober {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<()> {
        let this = self.get_mut();
        // Picks from here on wake the task again, so one pass is enough.
        let picks = this.shared.sleep(task.waker());
        if this.shared.is_over() {
            return Poll::Ready(());
        }
        this.targets = this.shared.targets();
        this.forget(Instant::now());
        if picks > 0 {
            this.pay(picks);
        }
        while let Poll::Ready(Some(answer)) = this.asked.poll_next_unpin(task) {
            this.take_in(answer);
        }
        this.publish();
        // Endpoints that leave while it sleeps are not to be kept by it.
        this.targets = None;
        Poll::Pending
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober")
            .field("settings", &self.settings)
            .field("awaited", &self.awaited.len())
            .field("reports", &self.reports.len())
            .finish_non_exhaustive()
    }
}

async fn ask(probe: Arc<dyn Probe>, endpoint: Arc<Endpoint>, settings: Settings) -> Answer {
    let sent = Instant::now();
    let answer = timeout(settings.timeout, probe.probe(&endpoint)).await;
    Answer {
        report: answer.ok().and_then(Result::ok),
        endpoint,
        sent,
    }
}
