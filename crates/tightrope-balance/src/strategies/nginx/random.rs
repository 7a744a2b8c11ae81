//! At random, by weight.

use std::sync::Arc;

use tightrope_upstream::{Endpoint, Snapshot};

use super::places::{Places, TRIES};
use crate::{Context, Picker, Random as Chance, RoundRobin, Strategy};

/// nginx's `random`: at random, each as likely as its weight says.
///
/// Draws among all members; a draw that hits somebody unavailable is made anew, and after 21 in
/// vain the request goes by turns. That differs from
/// [`WeightedRandom`](crate::WeightedRandom), which never draws in vain, only where one who is
/// unavailable has most of the weight; where nothing has to match nginx, choose that. A search
/// among the weights for each draw, 8 bytes an endpoint. Source: `random` of nginx 1.22.1.
#[derive(Debug, Default)]
pub struct Random {
    turns: RoundRobin,
}

/// nginx's `random two least_conn`: of two drawn at random the one with the fewer requests in
/// flight for its weight.
///
/// Draws as [`Random`] does, until two differ. Of two that are level the second is taken. The
/// request that is about to be sent does not count, so among idle ones of different weights the
/// second draw decides. Where nothing has to match nginx, choose
/// [`LeastRequest`](crate::LeastRequest). 8 bytes an endpoint. Source: `random two` of nginx 1.22.1.
#[derive(Debug, Default)]
pub struct RandomTwo {
    turns: RoundRobin,
}

#[derive(Debug)]
struct RandomPicker(Places);

#[derive(Debug)]
struct RandomTwoPicker(Places);

// === impl Random ===

impl Random {
    /// The strategy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Strategy for Random {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let turns = self.turns.picker(snapshot);
        Box::new(RandomPicker(Places::new(snapshot, turns)))
    }
}

impl Picker for RandomPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Chance) -> Option<usize> {
        let total = self.0.total()?;
        (0..=TRIES)
            .map(|_| self.0.at(random.below(total)))
            .find(|&index| self.0.will_do(index, context))
            .or_else(|| self.0.turn(context, random))
    }
}

// === impl RandomTwo ===

impl RandomTwo {
    /// The strategy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Strategy for RandomTwo {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let turns = self.turns.picker(snapshot);
        Box::new(RandomTwoPicker(Places::new(snapshot, turns)))
    }
}

impl Picker for RandomTwoPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Chance) -> Option<usize> {
        let total = self.0.total()?;
        let mut first = None;
        // One draw more than may be in vain, for the first of the two.
        for _ in 0..=TRIES + 1 {
            let index = self.0.at(random.below(total));
            if first == Some(index) || !self.0.will_do(index, context) {
                continue;
            }
            let Some(first) = first.replace(index) else {
                continue;
            };
            let members = self.0.snapshot().members();
            let busier = Load::of(&members[index]).exceeds(Load::of(&members[first]));
            return Some(if busier { first } else { index });
        }
        self.0.turn(context, random)
    }

    fn score(&self, index: usize, _: &Context<'_>) -> Option<f64> {
        Some(Load::of(&self.0.snapshot().members()[index]).score())
    }
}

/// Requests in flight for a weight.
#[derive(Clone, Copy)]
pub(super) struct Load {
    requests: u64,
    weight: u64,
}

impl Load {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        Self {
            requests: endpoint.record().in_flight() as u64,
            weight: endpoint.weight().get().into(),
        }
    }

    pub(super) fn score(self) -> f64 {
        self.requests as f64 / self.weight as f64
    }

    pub(super) const fn exceeds(self, other: Self) -> bool {
        self.requests * other.weight > other.requests * self.weight
    }
}
