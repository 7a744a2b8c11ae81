//! Slow start: the weight of an endpoint that comes, or comes back, grows.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::Snapshot;

/// How the weight of an endpoint grows from when it becomes available: slow start.
///
/// After a time `t` it has the share `max(floor, (t / window)^(1 / aggression))` of its weight, where
/// less than a second counts as one. Source: Envoy's slow start mode.
///
/// An endpoint starts slowly when it joins, and whenever it becomes available again: by a probe, after an
/// ejection, undrained, or with a weight above 0. If nobody else is available that was so before there
/// is nobody to be slower than, so all that are new at once start with their full weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    window: Duration,
    aggression: f64,
    floor: Percent,
}

/// Why a setting of a [`Ramp`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RampError {
    /// Nobody could grow in no time.
    #[error("the window is 0")]
    Window,
    /// The exponent would be no number, or the weight would shrink.
    #[error("aggression {aggression} is not a number above 0")]
    Aggression {
        /// As it was given.
        aggression: f64,
    },
    /// Who begins with nothing never begins.
    #[error("a floor of {percent} % is not between 1 and 100")]
    Floor {
        /// As it was given.
        percent: u8,
    },
}

/// From 1 to 100.
type Percent = u8;

/// Who starts slowly, as the writer of an upstream knows it.
#[derive(Debug, Default)]
pub(crate) struct Ramps {
    ramp: Option<Ramp>,
    /// How often a ramp was begun.
    number: u64,
    /// Since when everybody is available who is, by serial. Kept only while there is a ramp.
    since: HashMap<u64, Since>,
}

#[derive(Clone, Copy, Debug)]
enum Since {
    /// It need not start slowly any more, or never did.
    Long,
    Start(Instant),
}

/// The weight changes so often within the window.
const STEPS: u32 = 20;

// === impl Ramp ===

impl Ramp {
    /// Over `window`, linearly, from 10 %.
    ///
    /// # Errors
    /// `window` is 0.
    pub fn new(window: Duration) -> Result<Self, RampError> {
        if window.is_zero() {
            return Err(RampError::Window);
        }
        Ok(Self {
            window,
            aggression: 1.0,
            floor: 10,
        })
    }

    /// Faster at first the higher it is above 1, slower below. Above 0. Default: 1, linear.
    ///
    /// # Errors
    /// It is 0, negative or no number.
    pub fn with_aggression(mut self, aggression: f64) -> Result<Self, RampError> {
        if !(aggression > 0.0 && aggression.is_finite()) {
            return Err(RampError::Aggression { aggression });
        }
        self.aggression = aggression;
        Ok(self)
    }

    /// Begins with no less than this share of the weight, in percent. From 1 to 100. Default: 10.
    ///
    /// # Errors
    /// It is outside of that range.
    pub const fn with_floor(mut self, percent: u8) -> Result<Self, RampError> {
        if percent == 0 || percent > 100 {
            return Err(RampError::Floor { percent });
        }
        self.floor = percent;
        Ok(self)
    }

    /// The share of its weight that an endpoint has after this time, in percent.
    #[must_use]
    pub fn percent(&self, age: Duration) -> u8 {
        if age >= self.window {
            return 100;
        }
        let part = age
            .max(Duration::from_secs(1))
            .div_duration_f64(self.window);
        let percent = 100.0 * part.powf(self.aggression.recip());
        // A hair for what is a whole number but for rounding.
        self.floor.max((percent + 1e-9).min(100.0) as Percent)
    }

    /// When an endpoint that began to grow at `start` has its next weight.
    fn next(&self, start: Instant, now: Instant) -> Instant {
        let step = (self.window / STEPS).max(Duration::from_millis(1));
        let steps = now.saturating_duration_since(start).as_nanos() / step.as_nanos();
        start + step * (steps as u32 + 1)
    }
}

// === impl Ramps ===

impl Ramps {
    /// From now on endpoints grow like this. Whoever is available already has its full weight, or goes
    /// on growing. Gives a number to end it by.
    pub(crate) fn begin(&mut self, ramp: Ramp, current: &Snapshot) -> u64 {
        if self.ramp.is_none() {
            self.since = serials(current)
                .map(|serial| (serial, Since::Long))
                .collect();
        }
        self.ramp = Some(ramp);
        self.number += 1;
        self.number
    }

    /// Nobody grows any more, unless that began anew since.
    pub(crate) fn end(&mut self, number: u64) {
        if self.number == number {
            self.ramp = None;
            self.since.clear();
        }
    }

    /// Takes in who is available in `next`; gives everybody's share of its weight, or none where all
    /// have all of it.
    pub(crate) fn follow(&mut self, next: &Snapshot, now: Instant) -> Option<Box<[Percent]>> {
        let ramp = self.ramp?;
        let before = std::mem::take(&mut self.since);
        let is_start = !serials(next).any(|serial| before.contains_key(&serial));
        for serial in serials(next) {
            let new = if is_start {
                Since::Long
            } else {
                Since::Start(now)
            };
            let since = match before.get(&serial).copied().unwrap_or(new) {
                Since::Start(start) if ramp.percent(now.saturating_duration_since(start)) < 100 => {
                    Since::Start(start)
                }
                _ => Since::Long,
            };
            self.since.insert(serial, since);
        }
        self.percents(ramp, next, now)
    }

    fn percents(&self, ramp: Ramp, snapshot: &Snapshot, now: Instant) -> Option<Box<[Percent]>> {
        let starts = |since: &Since| matches!(since, Since::Start(_));
        if !self.since.values().any(starts) {
            return None;
        }
        let percent = |serial: u64| match self.since.get(&serial) {
            Some(Since::Start(start)) => ramp.percent(now.saturating_duration_since(*start)),
            _ => 100,
        };
        let members = snapshot.members().iter();
        Some(
            members
                .map(|member| percent(member.record().serial()))
                .collect(),
        )
    }

    /// When somebody's weight grows next.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let ramp = self.ramp?;
        let next = |since: &Since| match since {
            Since::Start(start) => Some(ramp.next(*start, now)),
            Since::Long => None,
        };
        self.since.values().filter_map(next).min()
    }
}

/// Of those who are available.
fn serials(snapshot: &Snapshot) -> impl Iterator<Item = u64> {
    let members = snapshot.members();
    let available = snapshot.available().iter();
    available.map(|&index| members[index as usize].record().serial())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn percents(ramp: Ramp, seconds: [f64; 5]) -> [u8; 5] {
        seconds.map(|age| ramp.percent(Duration::from_secs_f64(age)))
    }

    #[test]
    fn it_grows_linearly_from_the_floor() {
        let ramp = Ramp::new(Duration::from_secs(60)).unwrap();
        assert_eq!(
            percents(ramp, [0.0, 1.0, 6.0, 12.0, 30.0]),
            [10, 10, 10, 20, 50]
        );
        assert_eq!(
            percents(ramp, [45.0, 59.0, 59.9, 60.0, 90.0]),
            [75, 98, 99, 100, 100]
        );
    }

    #[test]
    fn aggression_bends_the_curve() {
        let ramp = Ramp::new(Duration::from_secs(100))
            .unwrap()
            .with_floor(1)
            .unwrap();
        let fast = ramp.with_aggression(2.0).unwrap();
        assert_eq!(
            percents(fast, [0.0, 1.0, 4.0, 25.0, 81.0]),
            [10, 10, 20, 50, 90]
        );
        let slow = ramp.with_aggression(0.5).unwrap();
        assert_eq!(
            percents(slow, [0.0, 10.0, 20.0, 50.0, 90.0]),
            [1, 1, 4, 25, 81]
        );
    }

    #[test]
    fn less_than_a_second_counts_as_one() {
        let ramp = Ramp::new(Duration::from_secs(4)).unwrap();
        assert_eq!(
            percents(ramp, [0.0, 0.5, 1.0, 2.0, 3.0]),
            [25, 25, 25, 50, 75]
        );
        let short = Ramp::new(Duration::from_millis(500)).unwrap();
        assert_eq!(percents(short, [0.0, 0.1, 0.4, 0.5, 1.0]), [100; 5]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(Ramp::new(Duration::ZERO).unwrap_err(), RampError::Window);
        let ramp = Ramp::new(Duration::from_secs(1)).unwrap();
        for aggression in [0.0, -1.0, f64::INFINITY] {
            assert!(ramp.with_aggression(aggression).is_err());
        }
        assert!(
            ramp.with_aggression(f64::NAN)
                .unwrap_err()
                .to_string()
                .contains("NaN")
        );
        assert!(ramp.with_floor(0).is_err() && ramp.with_floor(101).is_err());
    }
}
