//! How long an ejection lasts.

use std::time::Duration;

use rand::{Rng, RngExt};
use tokio::time::Instant;

/// How long ejections last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) base: Duration,
    pub(super) max: Duration,
    pub(super) jitter: Duration,
}

/// What is remembered of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Ejections {
    /// How many there were lately: one more for each, one less for each sweep without.
    lately: u32,
    /// When the current one is over.
    until: Option<Instant>,
}

impl Times {
    /// The length of the `n`-th in a row, from 1.
    pub(super) fn draw(&self, n: u32, rng: &mut impl Rng) -> Duration {
        let time = self.base.saturating_mul(n).min(self.max);
        time + self.jitter.mul_f64(rng.random())
    }
}

impl Ejections {
    /// Begins one that lasts this long.
    pub(super) fn begin(&mut self, time: Duration) {
        self.lately = self.lately.saturating_add(1);
        self.until = Some(Instant::now() + time);
    }

    /// It ended, by time or by hand.
    pub(super) const fn end(&mut self) {
        self.until = None;
    }

    /// A sweep went by.
    pub(super) const fn fade(&mut self) {
        if self.until.is_none() {
            self.lately = self.lately.saturating_sub(1);
        }
    }

    pub(super) const fn lately(&self) -> u32 {
        self.lately
    }

    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether nothing is left to be remembered.
    pub(super) const fn is_over(&self) -> bool {
        self.lately == 0 && self.until.is_none()
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    const TIMES: Times = Times {
        base: Duration::from_secs(30),
        max: Duration::from_secs(300),
        jitter: Duration::ZERO,
    };

    #[test]
    fn each_is_longer_up_to_the_longest() {
        let mut rng = SmallRng::seed_from_u64(1);
        let lengths: Vec<u64> = (1..=12)
            .map(|n| TIMES.draw(n, &mut rng).as_secs())
            .collect();
        let expected = [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300];
        assert_eq!(lengths, expected);
        assert_eq!(TIMES.draw(u32::MAX, &mut rng).as_secs(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn sweeps_without_one_are_taken_off() {
        let mut ejections = Ejections::default();
        for _ in 0..3 {
            ejections.begin(TIMES.base);
            ejections.fade(); // not while it lasts
            ejections.end();
        }
        assert_eq!(ejections.lately(), 3);
        ejections.fade();
        assert_eq!(ejections.lately(), 2);
        assert!(!ejections.is_over());
        for _ in 0..3 {
            ejections.fade();
        }
        assert!(ejections.is_over());
    }

    #[test]
    fn jitter_comes_on_top() {
        let times = Times {
            jitter: Duration::from_secs(5),
            ..TIMES
        };
        let mut rng = SmallRng::seed_from_u64(1);
        let mut lengths: Vec<Duration> = (0..200).map(|_| times.draw(1, &mut rng)).collect();
        lengths.sort_unstable();
        let (least, most) = (lengths[0], lengths[199]);
        assert!(least >= Duration::from_secs(30) && least < Duration::from_millis(30_200));
        assert!(most <= Duration::from_secs(35) && most > Duration::from_millis(34_800));
    }
}
