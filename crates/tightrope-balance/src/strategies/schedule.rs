//! The sequence of smooth weighted round robin, worked out in advance.

use std::{cmp::Reverse, collections::BTreeMap};

/// The most slots a schedule has: 4 bytes each.
const MAX_SLOTS: u64 = 1 << 20;
/// The most steps that working a schedule out may take: some tens of milliseconds.
const MAX_STEPS: u64 = 1 << 24;

/// One period of smooth weighted round robin over `weights`, as positions in it; `None` where all
/// weights are 0, or where one period is too long to be worked out.
///
/// The sequence is nginx's: every step adds each weight to its current value, takes the largest,
/// the earliest of equals, and subtracts the sum from it. After t steps the current value of a
/// position that was taken c times is `weight * t - sum * c`. So among positions of the same weight
/// the one in turn leads, and only the leaders of the distinct weights need to be compared. The
/// sequence repeats after `sum / gcd` steps.
pub(crate) fn smooth(weights: &[u32]) -> Option<Box<[u32]>> {
    let divisor = weights.iter().copied().fold(0, gcd);
    if divisor == 0 {
        return None;
    }
    let period: u64 = weights.iter().map(|&w| u64::from(w / divisor)).sum();
    let mut by_weight: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (position, &weight) in (0..).zip(weights) {
        if weight > 0 {
            by_weight.entry(weight).or_default().push(position);
        }
    }
    if period > MAX_SLOTS || period * by_weight.len() as u64 > MAX_STEPS {
        return None;
    }
    let mut turns: Vec<Turn> = by_weight
        .into_iter()
        .map(|(weight, positions)| Turn {
            weight: i64::from(weight / divisor),
            positions,
            taken: 0,
            round: 0,
        })
        .collect();
    let sum = period.cast_signed();
    (1..=sum)
        .map(|step| {
            let leading = turns
                .iter_mut()
                .max_by_key(|turn| (turn.current(step, sum), Reverse(turn.position())));
            leading.map(Turn::take)
        })
        .collect()
}

/// The positions of one weight, taken in turn.
struct Turn {
    weight: i64,
    positions: Vec<u32>,
    /// How many of them were taken in this round.
    taken: usize,
    /// How often each was taken in full rounds.
    round: i64,
}

impl Turn {
    fn position(&self) -> u32 {
        self.positions[self.taken]
    }

    /// The current value of the one in turn.
    fn current(&self, step: i64, sum: i64) -> i64 {
        self.weight * step - sum * self.round
    }

    fn take(&mut self) -> u32 {
        let position = self.position();
        self.taken += 1;
        if self.taken == self.positions.len() {
            self.taken = 0;
            self.round += 1;
        }
        position
    }
}

pub(super) const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule as nginx states it, step by step.
    fn reference(weights: &[u32], steps: usize) -> Vec<u32> {
        let mut current = vec![0_i64; weights.len()];
        let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
        (0..steps)
            .map(|_| {
                for (value, &weight) in current.iter_mut().zip(weights) {
                    *value += i64::from(weight);
                }
                let mut best = None;
                for (position, &weight) in weights.iter().enumerate() {
                    if weight > 0 && best.is_none_or(|b: usize| current[position] > current[b]) {
                        best = Some(position);
                    }
                }
                let best = best.unwrap();
                current[best] -= sum;
                u32::try_from(best).unwrap()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn schedule_is_the_sequence_of_the_rule(
            weights in prop::collection::vec(0_u32..12, 1..9)
                .prop_filter("some weight", |w| w.iter().any(|&w| w > 0)),
        ) {
            let schedule = smooth(&weights).unwrap();
            let twice: Vec<u32> = schedule.iter().chain(&schedule).copied().collect();
            prop_assert_eq!(&twice, &reference(&weights, twice.len()));
        }
    }

    #[test]
    fn five_one_one_gives_five_of_seven_interleaved() {
        assert_eq!(*smooth(&[5, 1, 1]).unwrap(), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn what_is_too_long_or_empty_has_no_schedule() {
        assert!(smooth(&[]).is_none());
        assert!(smooth(&[0, 0]).is_none());
        let coprime: Vec<u32> = (0..40).map(|n| 65_535 - n).collect();
        assert!(smooth(&coprime).is_none());
    }
}
