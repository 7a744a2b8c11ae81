//! How long requests took lately.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Counts latencies of this span and the one before, in buckets that are a sixteenth of their
/// value wide.
///
/// Whoever records first in a new span empties the older half. What others record there at the same moment
/// may be lost or counted twice, which no percentile shows.
pub(crate) struct Latencies {
    origin: Instant,
    /// The span that is counted now.
    span: AtomicU64,
    halves: [Half; 2],
}

struct Half {
    total: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

const SPAN: Duration = Duration::from_secs(5);

/// Buckets to each doubling.
const PARTS: u64 = 16;

/// In units of 16 µs, up to 16 µs by 2^27, more than half an hour: 16 buckets of one unit, then 16 for each doubling.
const BUCKETS: usize = 16 * 24;

const UNIT_NS: u128 = 1 << 14;

// === impl Latencies ===

impl Latencies {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            span: AtomicU64::new(0),
            halves: array::from_fn(|_| Half::new()),
        }
    }

    pub(crate) fn record(&self, latency: Duration) {
        let half = &self.halves[(self.turn() % 2) as usize];
        // Relaxed, here and below: counts that nothing else hangs on.
        half.buckets[bucket(latency)].fetch_add(1, Ordering::Relaxed);
        half.total.fetch_add(1, Ordering::Relaxed);
    }

    /// Within what time `percent` of the requests were answered, if there were at least `min` of
    /// them.
    pub(crate) fn percentile(&self, percent: u8, min: u64) -> Option<Duration> {
        self.turn();
        let total: u64 = self.halves.iter().map(Half::total).sum();
        if total == 0 || total < min {
            return None;
        }
        // Rounded up: no fewer than the share.
        let rank = (total * u64::from(percent)).div_ceil(100);
        let mut seen = 0;
        let slowest = (0..BUCKETS).find(|&bucket| {
            let counted = |half: &Half| half.buckets[bucket].load(Ordering::Relaxed);
            seen += self.halves.iter().map(counted).sum::<u64>();
            seen >= rank
        });
        Some(upper_bound(slowest.unwrap_or(BUCKETS - 1)))
    }

    /// The span of now; empties what is too old.
    fn turn(&self) -> u64 {
        let now = self.origin.elapsed().as_secs() / SPAN.as_secs();
        let before = self.span.load(Ordering::Relaxed);
        if before < now
            && self
                .span
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.halves[(now % 2) as usize].clear();
            if now - before > 1 {
                self.halves[((now + 1) % 2) as usize].clear();
            }
        }
        now
    }
}

// === impl Half ===

impl Half {
    fn new() -> Self {
        Self {
            total: AtomicU64::new(0),
            buckets: array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
        self.total.store(0, Ordering::Relaxed);
    }
}

/// Which bucket counts it.
fn bucket(latency: Duration) -> usize {
    let units = u64::try_from(latency.as_nanos() / UNIT_NS).unwrap_or(u64::MAX);
    if units < PARTS {
        return units as usize;
    }
    let doublings = u64::from(units.ilog2() - PARTS.ilog2());
    let part = (units >> doublings) - PARTS;
    ((doublings + 1) * PARTS + part).min(BUCKETS as u64 - 1) as usize
}

/// What no latency that is counted there exceeds.
fn upper_bound(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    let units = match bucket.checked_sub(PARTS) {
        None => bucket + 1,
        Some(above) => (PARTS + above % PARTS + 1) << (above / PARTS),
    };
    Duration::from_nanos(units * UNIT_NS as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_within_its_bucket_and_that_is_narrow() {
        let mut latency = Duration::from_micros(1);
        while latency < Duration::from_secs(1000) {
            let upper = upper_bound(bucket(latency));
            assert!(latency < upper, "{latency:?} {upper:?}");
            let width = Duration::from_micros(17) + latency / 16;
            assert!(upper <= latency + width, "{latency:?} {upper:?}");
            latency += latency / 7 + Duration::from_nanos(1);
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
        assert_eq!(bucket(Duration::ZERO), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_long_ago_is_forgotten() {
        let latencies = Latencies::new();
        let ms = Duration::from_millis;
        for n in 1..=100 {
            latencies.record(ms(n));
        }
        assert_eq!(latencies.percentile(50, 101), None);
        let close = |percent, to: Duration| {
            let found = latencies.percentile(percent, 100).unwrap();
            assert!(found > to && found < to + to / 10, "{found:?}");
        };
        close(50, ms(50));
        close(99, ms(99));
        tokio::time::advance(SPAN).await;
        close(50, ms(50));
        tokio::time::advance(SPAN).await;
        assert_eq!(latencies.percentile(50, 1), None);
        latencies.record(ms(1));
        tokio::time::advance(SPAN * 9).await;
        assert_eq!(latencies.percentile(50, 1), None);
    }
}
