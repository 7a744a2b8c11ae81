//! HAProxy's list of servers for `map-based` hashing.

use std::{cmp::Reverse, collections::BTreeSet};

use tightrope_upstream::Snapshot;

use super::picker::Table;
use crate::strategies::schedule::gcd;

/// A list in which everybody who is available stands as often as its weight says.
#[derive(Debug)]
pub(super) struct Map(Box<[u32]>);

/// The most entries of a list, as far as there are not more members than that.
const MOST: u64 = 1 << 18;
/// How many entries are looked at for somebody who was not tried.
const STEPS: usize = 1_024;

// === impl Map ===

impl Map {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let weight = |&index: &u32| snapshot.members()[index as usize].weight().get();
        // Of all who are configured, so that who is unavailable does not change the proportions.
        let divisor = snapshot.candidates().iter().map(weight).fold(0, gcd).max(1);
        let available = snapshot.available();
        let weights: Vec<u32> = available
            .iter()
            .map(|index| weight(index) / divisor)
            .collect();
        let entries = entries(&fit(weights));
        Self(
            entries
                .iter()
                .map(|&position| available[position])
                .collect(),
        )
    }
}

impl Table for Map {
    fn find(&self, hash: u32, may: impl Fn(usize) -> bool) -> Option<usize> {
        let place = (hash as usize).checked_rem(self.0.len())?;
        let (before, after) = self.0.split_at(place);
        let entries = after.iter().chain(before).take(STEPS);
        entries
            .map(|&index| index as usize)
            .find(|&index| may(index))
    }

    fn nth(&self, turn: u64) -> Option<usize> {
        let place = turn.checked_rem(self.0.len() as u64)?;
        Some(self.0[place as usize] as usize)
    }
}

/// Scales weights down whose list would be too long.
fn fit(weights: Vec<u32>) -> Vec<u32> {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    if total <= MOST {
        return weights;
    }
    let scaled = weights
        .iter()
        .map(|&weight| (u64::from(weight) * MOST / total).max(1) as u32);
    scaled.collect()
}

/// The position of each entry.
///
/// HAProxy's rule: for each entry everybody gains its weight; who has the most whole sums of all
/// weights, the earliest of equals, gets it and pays one. So what decides is how many whole sums a
/// position gained, which changes as often as its weight says, less the entries that it got.
fn entries(weights: &[u32]) -> Vec<usize> {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let gains = (0..).zip(weights).flat_map(|(position, &weight)| {
        let weight = u64::from(weight);
        (1..=weight).map(move |nth| ((nth * total).div_ceil(weight), position))
    });
    let mut gains: Vec<(u64, usize)> = gains.collect();
    gains.sort_unstable();
    let mut gains = gains.into_iter().peekable();
    let mut balance = vec![0_i64; weights.len()];
    let mut order: BTreeSet<(Reverse<i64>, usize)> = (0..weights.len())
        .map(|position| (Reverse(0), position))
        .collect();
    let mut change = |order: &mut BTreeSet<_>, position: usize, by: i64| {
        let balance = &mut balance[position];
        order.remove(&(Reverse(*balance), position));
        *balance += by;
        order.insert((Reverse(*balance), position));
    };
    (1..=total)
        .map_while(|entry| {
            while let Some((_, position)) = gains.next_if(|&(when, _)| when <= entry) {
                change(&mut order, position, 1);
            }
            let &(_, position) = order.first()?;
            change(&mut order, position, -1);
            Some(position)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule as HAProxy states it, entry by entry.
    fn reference(weights: &[u32]) -> Vec<usize> {
        let total: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
        let mut scores = vec![0_i64; weights.len()];
        (0..total)
            .map(|_| {
                let mut best: Option<(usize, i64)> = None;
                for (position, &weight) in weights.iter().enumerate() {
                    scores[position] += i64::from(weight);
                    let whole = (scores[position] + total) / total;
                    if best.is_none_or(|(_, most)| whole > most) {
                        best = Some((position, whole));
                    }
                }
                let (position, _) = best.unwrap();
                scores[position] -= total;
                position
            })
            .collect()
    }

    proptest! {
        #[test]
        fn the_list_is_that_of_the_rule(weights in prop::collection::vec(1_u32..30, 0..12)) {
            prop_assert_eq!(entries(&weights), reference(&weights));
        }
    }

    #[test]
    fn a_list_that_would_be_too_long_is_scaled_down() {
        let fitted = fit(vec![65_535; 100]);
        let total: u32 = fitted.iter().sum();
        assert!(u64::from(total) <= MOST && total > 200_000, "{total}");
        assert_eq!(fit(vec![1; 300_000]).len(), 300_000);
    }
}
