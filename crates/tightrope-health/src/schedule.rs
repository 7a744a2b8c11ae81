//! When an endpoint is probed.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// How an endpoint fares, as far as it decides when to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Healthy, with traffic.
    Healthy,
    /// Unhealthy.
    Unhealthy,
    /// The newest results speak against the verdict, and are too few to change it.
    Changing,
    /// Healthy, without traffic.
    Idle,
}

/// The interval at each pace. None is zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    pub(crate) healthy: Duration,
    /// The others are, unless they are set, as the first.
    pub(crate) unhealthy: Option<Duration>,
    pub(crate) changing: Option<Duration>,
    pub(crate) idle: Option<Duration>,
}

/// The time from the start of one probe of an endpoint to the start of the next: the interval at its
/// pace, shortened by a share that is drawn anew each time.
///
/// Jitter only ever shortens, so the interval is what the time to notice can be computed from.
#[derive(Debug)]
pub(crate) struct Schedule {
    intervals: Intervals,
    jitter: f64,
    rng: SmallRng,
}

impl Intervals {
    fn at(&self, pace: Pace) -> Duration {
        let interval = match pace {
            Pace::Healthy => None,
            Pace::Unhealthy => self.unhealthy,
            Pace::Changing => self.changing,
            Pace::Idle => self.idle,
        };
        interval.unwrap_or(self.healthy)
    }
}

impl Schedule {
    /// `jitter` is a share from 0 to 0.5.
    pub(crate) fn new(intervals: Intervals, jitter: f64, seed: u64) -> Self {
        Self {
            intervals,
            jitter,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// The time from the start of a probe to the start of the next.
    pub(crate) fn draw(&mut self, pace: Pace) -> Duration {
        let interval = self.intervals.at(pace);
        let share = self.jitter * self.rng.random::<f64>();
        interval - interval.mul_f64(share)
    }

    /// The time from the start of a probe to that of one that a suspicion calls for: the suspect is
    /// probed at once, and still not once for every request that fails.
    pub(crate) fn hurried(&self) -> Duration {
        self.intervals.healthy / 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule(interval: Duration, jitter: f64, seed: u64) -> Schedule {
        let intervals = Intervals {
            healthy: interval,
            unhealthy: None,
            changing: None,
            idle: None,
        };
        Schedule::new(intervals, jitter, seed)
    }

    fn draws(jitter: f64, seed: u64) -> Vec<Duration> {
        let mut schedule = schedule(SECOND, jitter, seed);
        (0..1000).map(|_| schedule.draw(Pace::Healthy)).collect()
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
        let mut schedule = schedule(Duration::MAX, 0.5, 7);
        assert!((0..100).all(|_| schedule.draw(Pace::Healthy) >= Duration::MAX / 3));
    }

    #[test]
    fn a_pace_without_an_interval_of_its_own_has_that_of_the_healthy() {
        let mut schedule = schedule(SECOND, 0.0, 7);
        schedule.intervals.changing = Some(SECOND / 4);
        assert_eq!(schedule.draw(Pace::Changing), SECOND / 4);
        for pace in [Pace::Healthy, Pace::Unhealthy, Pace::Idle] {
            assert_eq!(schedule.draw(pace), SECOND);
        }
    }
}
