//! To the one that will answer soonest.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tightrope_upstream::{Decay, Endpoint, Fault, Observer, Outcome, Sample, Snapshot, Tick};
use tokio::time::Instant;

use super::{arrivals::Arrivals, draw::Draw, in_order};
use crate::{Context, Picker, Random, Strategy};

/// To the endpoint that costs least, of a few drawn ones or of all, where cost is how long its
/// answers take times how many are awaited.
///
/// `cost = latency * (1 + in flight / weight) * penalty`, where weights are relative to the mean.
/// The latency is an average that follows peaks at once and fades over time, see
/// [`latency_ns`](tightrope_upstream::Record::latency_ns); the
/// [penalty](tightrope_upstream::Record::penalty) keeps an endpoint that fails fast from looking quick.
/// Where balancers do not see each other's requests, latency tells them what counts of their own
/// cannot.
///
/// An endpoint that comes, or comes back, is taken to be like the others: it starts with their median
/// latency, so it is neither avoided nor overrun. Of equals the first drawn is taken, and draws
/// follow the weights. Latencies count from the pick to the head of the answer. About 80 bytes an
/// endpoint for draws and feedback; the latency itself is part of every endpoint's record.
///
/// Do not choose it where answers take as long as what is asked for, such as long polls or reports:
/// then latency says nothing of the endpoint, and [`LeastRequest`](crate::LeastRequest) is right.
/// Sources: the Peak EWMA of Finagle, and of tower and linkerd after it.
///
/// ```
/// use std::time::Duration;
/// use tightrope_balance::{Balance, PeakEwma};
/// use tightrope_upstream::Upstream;
///
/// let upstream = Upstream::new("shop");
/// let strategy = PeakEwma::new().with_decay(Duration::from_secs(5));
/// let balance = Balance::new(&upstream, strategy, ());
/// ```
#[derive(Clone, Debug)]
pub struct PeakEwma {
    /// All, if none.
    choices: Option<usize>,
    decay: Decay,
    clocks: Arc<[Arc<dyn Observer>]>,
    arrivals: Arrivals,
}

#[derive(Debug)]
struct PeakEwmaPicker {
    draw: Option<Draw>,
    choices: Option<usize>,
    decay: Decay,
    mean_weight: f32,
    clocks: Arc<[Arc<dyn Observer>]>,
}

/// Takes latencies in.
#[derive(Debug)]
struct Clock {
    decay: Decay,
}

const DECAY: Duration = Duration::from_secs(10);

// === impl PeakEwma ===

impl PeakEwma {
    /// The best of five.
    #[must_use]
    pub fn new() -> Self {
        Self::with_choices(5)
    }

    /// The best of `choices` drawn ones: 2 to 16, where less counts as 2 and more as 16. Where no
    /// more are available all of them are compared.
    #[must_use]
    pub fn with_choices(choices: usize) -> Self {
        Self::looking_at(Some(choices.clamp(2, Draw::MOST)), DECAY)
    }

    /// The best of all, elsewhere called least time. Time grows with their number, and balancers
    /// that do not see each other's requests run to the same one more often.
    #[must_use]
    pub fn full_scan() -> Self {
        Self::looking_at(None, DECAY)
    }

    /// Forgets latencies over `decay`: after it 37 % of what was is left, after twice as long nothing, and
    /// the endpoint is taken to be like one of the others. From 1 ms; default 10 s.
    ///
    /// Latencies belong to the endpoint: balancers that share one should agree on this.
    #[must_use]
    pub fn with_decay(self, decay: Duration) -> Self {
        Self::looking_at(self.choices, decay)
    }

    /// Lets `arrivals` start like the others.
    fn welcome(&self, snapshot: &Snapshot, arrivals: &HashSet<u64>) {
        let members = snapshot.members();
        let Some(any) = members.first() else {
            return;
        };
        let now = any.record().tick(Instant::now());
        let available = snapshot
            .available()
            .iter()
            .map(|&index| &members[index as usize]);
        let (new, old): (Vec<_>, Vec<_>) = available
            .map(|endpoint| endpoint.record())
            .partition(|record| arrivals.contains(&record.serial()));
        let old = old
            .iter()
            .filter_map(|record| record.latency_ns(now, self.decay));
        let mut latencies: Vec<f32> = old.collect();
        if latencies.is_empty() {
            return;
        }
        let middle = latencies.len() / 2;
        let (_, &mut median, _) = latencies.select_nth_unstable_by(middle, f32::total_cmp);
        for record in new {
            record.assume_latency(now, Duration::from_nanos(median as u64));
        }
    }

    fn looking_at(choices: Option<usize>, decay: Duration) -> Self {
        Self {
            choices,
            decay: Decay::over(decay),
            clocks: Arc::default(),
            arrivals: Arrivals::default(),
        }
    }
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for PeakEwma {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let snapshot = &snapshot.ramped();
        let (members, available) = (snapshot.members(), snapshot.available());
        // They are all alike, and each is there so that one endpoint is not told through that of
        // another: any that are left from before will do.
        if self.clocks.len() < members.len() {
            let clock = || Arc::new(Clock { decay: self.decay }) as Arc<dyn Observer>;
            self.clocks = members.iter().map(|_| clock()).collect();
        }
        let arrivals = self.arrivals.since_last(snapshot);
        if !arrivals.is_empty() {
            self.welcome(snapshot, &arrivals);
        }
        let weights = available
            .iter()
            .map(|&index| members[index as usize].weight());
        let total: u64 = weights.map(|weight| u64::from(weight.get())).sum();
        Box::new(PeakEwmaPicker {
            draw: Draw::new(snapshot),
            choices: self.choices.filter(|&choices| choices < available.len()),
            decay: self.decay,
            mean_weight: total as f32 / available.len() as f32,
            clocks: Arc::clone(&self.clocks),
        })
    }
}

// === impl PeakEwmaPicker ===

impl PeakEwmaPicker {
    /// The one of `candidates` that costs least; the first of equals.
    fn cheapest(
        &self,
        members: &[Arc<Endpoint>],
        candidates: impl Iterator<Item = usize> + Clone,
        now: Tick,
    ) -> Option<usize> {
        let (mut best, mut known, mut unknown) = (None, None, false);
        for index in candidates.clone() {
            let endpoint = &members[index];
            match endpoint.record().latency_ns(now, self.decay) {
                Some(latency) => {
                    known.get_or_insert(latency);
                    keep_cheaper(&mut best, index, latency * self.load(endpoint));
                }
                None => unknown = true,
            }
        }
        if unknown {
            best = None;
            // Like one of the others by chance: their mean or their best would be a prejudice.
            let like = known.unwrap_or(1.0);
            for index in candidates {
                let endpoint = &members[index];
                let latency = endpoint.record().latency_ns(now, self.decay);
                keep_cheaper(
                    &mut best,
                    index,
                    latency.unwrap_or(like) * self.load(endpoint),
                );
            }
        }
        best.map(|(index, _)| index)
    }

    fn load(&self, endpoint: &Endpoint) -> f32 {
        let record = endpoint.record();
        let share = self.mean_weight / endpoint.weight().get() as f32;
        (1.0 + record.in_flight() as f32 * share) * record.penalty() as f32
    }
}

impl Picker for PeakEwmaPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let draw = self.draw.as_ref()?;
        let members = draw.snapshot().members();
        let now = context.tick(members.first()?.record());
        if let Some(choices) = self.choices {
            if choices == 2
                && let Some(two) = draw.two(context, random)
            {
                return self.cheapest(members, two.into_iter(), now);
            }
            let drawn = draw.some(choices, context, random);
            return self.cheapest(members, drawn.iter(), now);
        }
        // From one that is drawn by weight, so that equals share by weight.
        let first = draw.one(context, random)?;
        let untried = in_order(draw.snapshot(), context);
        self.cheapest(members, std::iter::once(first).chain(untried), now)
    }

    fn score(&self, index: usize, context: &Context<'_>) -> Option<f64> {
        let snapshot = self.draw.as_ref()?.snapshot();
        let endpoint = &snapshot.members()[index];
        let now = context.tick(endpoint.record());
        let latency = endpoint.record().latency_ns(now, self.decay)?;
        Some(f64::from(latency * self.load(endpoint)))
    }

    fn observers(&self) -> &[Arc<dyn Observer>] {
        &self.clocks
    }
}

fn keep_cheaper(best: &mut Option<(usize, f32)>, index: usize, cost: f32) {
    if best.is_none_or(|(_, least)| cost < least) {
        *best = Some((index, cost));
    }
}

// === impl Clock ===

impl Observer for Clock {
    fn observe(&self, endpoint: &Arc<Endpoint>, sample: &Sample) {
        let record = endpoint.record();
        match sample.outcome {
            Outcome::Success => record.add_latency(sample.at, sample.latency, self.decay),
            Outcome::Failure(failure) if failure.fault() != Fault::Upstream => {}
            _ => record.raise_latency(sample.at, sample.latency),
        }
    }
}
