//! When an endpoint is probed.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// The time from the start of one probe of an endpoint to the start of the next: the interval,
/// shortened by a share that is drawn anew each time.
///
/// Jitter only ever shortens, so the interval is what the time to notice can be computed from.
#[derive(Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    jitter: f64,
    rng: SmallRng,
}

impl Schedule {
    /// `jitter` is a share from 0 to 0.5.
    pub(crate) fn new(interval: Duration, jitter: f64, seed: u64) -> Self {
        Self {
            interval,
            jitter,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// The time from the start of a probe to the start of the next.
    pub(crate) fn draw(&mut self) -> Duration {
        let share = self.jitter * self.rng.random::<f64>();
        self.interval - self.interval.mul_f64(share)
    }

    /// The time from the start of a probe to that of one that a suspicion calls for: the suspect is
    /// probed at once, and still not once for every request that fails.
    pub(crate) fn hurried(&self) -> Duration {
        self.interval / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn draws(jitter: f64, seed: u64) -> Vec<Duration> {
        let mut schedule = Schedule::new(SECOND, jitter, seed);
        (0..1000).map(|_| schedule.draw()).collect()
    }

    #[test]
    fn jitter_shortens_by_at_most_its_share_and_uses_all_of_it() {
        let draws = draws(0.1, 7);
        let shortest = draws.iter().min().unwrap();
        let longest = draws.iter().max().unwrap();
        assert!((SECOND * 90 / 100..SECOND * 91 / 100).contains(shortest));
        assert!((SECOND * 99 / 100..=SECOND).contains(longest));
    }

    #[test]
    fn without_jitter_every_wait_is_the_interval() {
        assert!(draws(0.0, 7).iter().all(|&wait| wait == SECOND));
    }

    #[test]
    fn the_same_seed_gives_the_same_waits() {
        assert_eq!(draws(0.1, 7), draws(0.1, 7));
        assert_ne!(draws(0.1, 7), draws(0.1, 8));
    }

    #[test]
    fn the_longest_interval_there_is_does_not_overflow() {
        let mut schedule = Schedule::new(Duration::MAX, 0.5, 7);
        assert!((0..100).all(|_| schedule.draw() >= Duration::MAX / 3));
    }
}
