//! The half of a server: how busy it is, and how long its answers take.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Report;

/// What a server knows of its load, for its answers to probes. Clones count together.
///
/// A server [begins](Self::begin) a request with it when it arrives and says when it was
/// [answered](Metered::answered). What a [report](Self::report) gives as latency is the median of
/// the 16 answers, among the last 128 of the last 5 s, whose requests found as many others there
/// as there are now, or nearly as many: how long a request would take that came now. Source: § 4
/// of the paper named at [`Prequal`](crate::Prequal).
///
/// Takes a lock, for well under a microsecond. Latencies are in whole microseconds, up to 71 minutes.
/// About 3 KiB.
///
/// ```
/// use tightrope_balance::prequal::Meter;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let meter = Meter::new();
/// let request = meter.begin();
/// assert_eq!(meter.report().in_flight, 1); // what a probe is told meanwhile
/// request.answered();
/// assert_eq!(meter.report().in_flight, 0);
/// assert!(meter.report().latency.is_some());
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Meter(Arc<Mutex<Metering>>);

/// A request at a server. Dropped without being [answered](Self::answered), because it failed or
/// its client left, it is no longer in flight and tells nothing of latency.
#[must_use = "a request that is dropped is no longer in flight"]
#[derive(Debug)]
pub struct Metered {
    meter: Meter,
    /// The requests that it found there.
    found: u32,
    since: Instant,
}

#[derive(Default)]
struct Metering {
    in_flight: u32,
    /// The oldest first.
    answers: VecDeque<Answered>,
}

#[derive(Clone, Copy)]
struct Answered {
    found: u32,
    /// How long it took, in microseconds.
    latency_us: u32,
    at: Instant,
}

/// The answers that are kept.
const KEPT: usize = 128;

/// For how long they say something: servers change.
const RECENT: Duration = Duration::from_secs(5);

/// The answers that a median is of.
const NEAREST: usize = 16;

// === impl Meter ===

impl Meter {
    /// Nothing is in flight and nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A request arrives.
    pub fn begin(&self) -> Metered {
        let since = Instant::now();
        let mut metering = self.lock();
        let found = metering.in_flight;
        metering.in_flight = found.saturating_add(1);
        drop(metering);
        Metered {
            meter: self.clone(),
            found,
            since,
        }
    }

    /// What a probe is told.
    #[must_use]
    pub fn report(&self) -> Report {
        let now = Instant::now();
        let metering = self.lock();
        Report {
            in_flight: metering.in_flight,
            latency: metering.latency(now),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Metering> {
        // Nothing that could panic is called under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("in_flight", &self.lock().in_flight)
            .finish_non_exhaustive()
    }
}

// === impl Metered ===

impl Metered {
    /// It was answered well: how long that took is taken in.
    ///
    /// Not to be called for one that failed: failures are quick, and a server whose requests all
    /// fail would seem to be the fastest.
    pub fn answered(self) {
        let at = Instant::now();
        let latency = at.saturating_duration_since(self.since);
        let answered = Answered {
            found: self.found,
            latency_us: latency.as_micros().try_into().unwrap_or(u32::MAX),
            at,
        };
        let mut metering = self.meter.lock();
        if metering.answers.len() == KEPT {
            metering.answers.pop_front();
        }
        metering.answers.push_back(answered);
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        let mut metering = self.meter.lock();
        metering.in_flight = metering.in_flight.saturating_sub(1);
    }
}

// === impl Metering ===

impl Metering {
    /// How long a request would take that came now.
    fn latency(&self, now: Instant) -> Option<Duration> {
        let since = now.checked_sub(RECENT);
        let recent = self.answers.iter().rev();
        let recent = recent.take_while(|answered| since.is_none_or(|since| answered.at >= since));
        // How far off each is, and its latency in the lower half: a number, to be sorted quickly.
        let mut near = [0; KEPT];
        let mut count = 0;
        for (place, answered) in near.iter_mut().zip(recent) {
            let off = answered.found.abs_diff(self.in_flight);
            *place = u64::from(off) << 32 | u64::from(answered.latency_us);
            count += 1;
        }
        let mut near = &mut near[..count];
        if near.len() > NEAREST {
            near.select_nth_unstable(NEAREST - 1);
            near = &mut near[..NEAREST];
        }
        let middle = near.len() / 2;
        near.sort_unstable_by_key(|&near| near as u32);
        let median = near.get(middle)?;
        Some(Duration::from_micros(u64::from(*median as u32)))
    }
}
