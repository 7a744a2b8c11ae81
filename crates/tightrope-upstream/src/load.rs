//! What is learned of an endpoint from the attempts on it: how long its answers take, and whether
//! it fails.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    Endpoint, Outcome,
    sync::{AtomicU64, Ordering},
};

/// Told how attempts went: the feedback of strategies that learn.
///
/// A balancer gives one to each pick that it makes, see [`Pick::observed_by`](crate::Pick::observed_by).
/// Called on the path of requests: it must be quick and must not panic.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// An attempt on `endpoint` was answered, or ended without an answer.
    ///
    /// Called once for each attempt: with what the head of a response says, or else when the pick
    /// is dropped.
    fn observe(&self, endpoint: &Arc<Endpoint>, sample: &Sample);
}

/// How one attempt went.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// What the answer says of the endpoint; [`Outcome::Cancelled`] where nobody waited for one.
    pub outcome: Outcome,
    /// From the pick to the answer. Where there was none: an answer takes no less than this.
    pub latency: Duration,
    /// When that was.
    pub at: Tick,
}

/// How fast latencies are forgotten: after this time, `1 / e` (37 %) of what was is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    halvings_per_unit: f32,
}

/// How long answers take: see [`Record::latency_ns`](crate::Record::latency_ns).
pub(crate) struct Latency {
    /// The average in ns as bits of an `f32`, and the tick of the newest sample in the lower half.
    /// 0: no sample. A latency of 0 counts as 1 ns.
    word: AtomicU64,
}

/// How much busier an endpoint counts that fails: see [`Record::penalty`](crate::Record::penalty).
pub(crate) struct Penalty {
    /// The failures in a row, and the tick of the newest in the lower half. 0: none.
    word: AtomicU64,
}

/// A point in the life of an upstream, in nanoseconds; comes round after 584 years.
///
/// Given by [`Record::tick`](crate::Record::tick), once for all endpoints that are compared, since to
/// work it out costs more than to read a latency. It is of use for the records of the same upstream
/// only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick(u64);

/// As [`Tick`], in units of 2^16 ns (66 us), to be kept beside what was learned then; comes round
/// after 78 hours.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(u32);

const STAMP_NS: f32 = 65_536.0;

/// A latency is forgotten after this many halvings: twice the time of its decay.
const FORGOTTEN: f32 = 2.0 * std::f32::consts::LOG2_E;

/// What a failure adds to the factor of a penalty, at first.
const HARSHEST: f32 = 128.0;

/// The half-lives of the first failure, of the second in a row, and of all others, in seconds.
const HALF_LIVES: [f32; 3] = [0.5, 4.0, 8.0];

// === impl Tick ===

impl Tick {
    /// `at` in the life of what began at `epoch`; its start if that was later.
    pub(crate) fn new(epoch: Instant, at: Instant) -> Self {
        Self(nanoseconds(at.saturating_duration_since(epoch)))
    }

    /// The time since `earlier`; none where that is not past.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    const fn stamp(self) -> Stamp {
        Stamp((self.0 >> 16) as u32)
    }
}

// === impl Stamp ===

impl Stamp {
    /// 0 for one that is not past: another thread was a little ahead.
    const fn since(self, earlier: Self) -> u32 {
        let units = self.0.wrapping_sub(earlier.0);
        if units > u32::MAX / 2 { 0 } else { units }
    }
}

// === impl Decay ===

impl Decay {
    /// Over `time`, from 1 ms; shorter ones count as 1 ms.
    #[must_use]
    pub fn over(time: Duration) -> Self {
        let ns = time.max(Duration::from_millis(1)).as_secs_f32() * 1e9;
        Self {
            halvings_per_unit: std::f32::consts::LOG2_E * STAMP_NS / ns,
        }
    }

    /// That of a penalty after this many failures in a row.
    fn after(failures: u32) -> Self {
        let longest = HALF_LIVES.len() - 1;
        let half_life = HALF_LIVES[(failures as usize).saturating_sub(1).min(longest)];
        Self {
            halvings_per_unit: STAMP_NS / (half_life * 1e9),
        }
    }

    /// Whether it is so long ago that what was learned then is no guide any more.
    #[inline]
    fn forgets(self, units: u32) -> bool {
        units as f32 * self.halvings_per_unit > FORGOTTEN
    }

    /// What is left after this many units of a stamp.
    #[inline]
    fn keeps(self, units: u32) -> f32 {
        let halvings = units as f32 * self.halvings_per_unit;
        if halvings >= 126.0 {
            return 0.0;
        }
        let whole = halvings as u32;
        let part = halvings - whole as f32;
        // 2^-part on 0..1, with the ends exact, so that it never rises.
        let rest = 1.0 - part * (0.691_4 - part * (0.230_483_46 - part * 0.039_083_46));
        f32::from_bits((127 - whole) << 23) * rest
    }
}

// === impl Latency ===

impl Latency {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
        }
    }

    /// Takes a sample in.
    pub(crate) fn record(&self, now: Tick, latency: Duration, decay: Decay) {
        let (now, sample) = (now.stamp(), ns(latency));
        self.update(
            |average, last| {
                let Some(average) = average else {
                    return Some(sample);
                };
                if sample >= average {
                    return Some(sample);
                }
                let units = now.since(last);
                if decay.forgets(units) {
                    return Some(sample);
                }
                Some(sample + (average - sample) * decay.keeps(units))
            },
            now,
        );
    }

    /// An answer would have taken no less than `latency`.
    pub(crate) fn raise(&self, now: Tick, latency: Duration) {
        let (now, sample) = (now.stamp(), ns(latency));
        self.update(
            |average, _| {
                average
                    .is_some_and(|average| average < sample)
                    .then_some(sample)
            },
            now,
        );
    }

    /// Until samples say otherwise answers take `latency`.
    pub(crate) fn assume(&self, now: Tick, latency: Duration) {
        let assumed = ns(latency);
        self.update(|_, _| Some(assumed), now.stamp());
    }

    /// The average as it is by now, if there is one that is not forgotten.
    #[inline]
    pub(crate) fn estimate_ns(&self, now: Tick, decay: Decay) -> Option<f32> {
        // Relaxed, here and below: the word orders nothing but itself.
        let (average, last) = unpack(self.word.load(Ordering::Relaxed));
        let units = now.stamp().since(last);
        let average = average.filter(|_| !decay.forgets(units))?;
        Some(average * decay.keeps(units))
    }

    fn update(&self, next: impl Fn(Option<f32>, Stamp) -> Option<f32>, now: Stamp) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (average, last) = unpack(word);
            let Some(average) = next(average, last) else {
                return;
            };
            // Never back: another thread may be ahead.
            let stamp = last.0.wrapping_add(now.since(last));
            let packed = u64::from(average.to_bits()) << 32 | u64::from(stamp);
            match self.word.compare_exchange_weak(
                word,
                packed,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(newer) => word = newer,
            }
        }
    }
}

// === impl Penalty ===

impl Penalty {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
        }
    }

    /// The endpoint failed.
    pub(crate) fn failed(&self, now: Tick) {
        // Relaxed, here and below: the word orders nothing but itself. Of failures that cross one
        // is enough, so there is no loop.
        let now = now.stamp();
        let word = self.word.load(Ordering::Relaxed);
        let (failures, last) = ((word >> 32) as u32, Stamp(word as u32));
        let again = failures == 0 || Decay::after(failures).keeps(now.since(last)) <= 0.5;
        let failures = failures.saturating_add(u32::from(again));
        let packed = u64::from(failures) << 32 | u64::from(now.0);
        self.word.store(packed, Ordering::Relaxed);
    }

    /// The endpoint did its part.
    #[inline]
    pub(crate) fn clear(&self) {
        // Nothing is written where nothing is to be done, which is nearly always.
        if self.word.load(Ordering::Relaxed) != 0 {
            self.word.store(0, Ordering::Relaxed);
        }
    }

    /// By how much it is busier; asks for the time only where that matters.
    #[inline]
    pub(crate) fn factor(&self, now: impl FnOnce() -> Tick) -> u32 {
        match self.word.load(Ordering::Relaxed) {
            0 => 1,
            word => Self::factor_of(word, now),
        }
    }

    #[cold]
    fn factor_of(word: u64, now: impl FnOnce() -> Tick) -> u32 {
        let (failures, last) = ((word >> 32) as u32, Stamp(word as u32));
        let keeps = Decay::after(failures).keeps(now().stamp().since(last));
        1 + (HARSHEST * keeps).round() as u32
    }
}

fn ns(latency: Duration) -> f32 {
    (nanoseconds(latency) as f32).max(1.0)
}

/// Comes round after 584 years, and is cheaper than [`Duration::as_nanos`].
fn nanoseconds(time: Duration) -> u64 {
    let whole = time.as_secs().wrapping_mul(1_000_000_000);
    whole.wrapping_add(u64::from(time.subsec_nanos()))
}

fn unpack(word: u64) -> (Option<f32>, Stamp) {
    let average = (word >> 32) as u32;
    let average = (average != 0).then(|| f32::from_bits(average));
    (average, Stamp(word as u32))
}
