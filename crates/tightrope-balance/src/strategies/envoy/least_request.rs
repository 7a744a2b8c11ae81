//! To the one with fewer requests in flight, by weight.

use std::sync::Arc;

use tightrope_upstream::{Endpoint, Snapshot};

use crate::{
    Context, Picker, Random, Strategy,
    strategies::{in_order, untried},
};

/// Envoy's `LEAST_REQUEST`: the less busy of a few while weights are equal, and else by weights
/// that shrink with the requests in flight.
///
/// With equal weights as many endpoints are drawn as there are choices, with replacement, so that the
/// busier of two still gets a quarter. With others each counts as
/// `weight / (requests in flight + 1) ^ bias`: a bias of 0 is weighted turns, and the higher it is, the
/// less the busy get; but nobody is ever left out. Shares are Envoy's, the order is not: there
/// turns are scheduled, under a lock, and here they are drawn. Equal weights take constant time, others
/// a look at every available endpoint.
///
/// Where nothing has to match Envoy, choose [`LeastRequest`](crate::LeastRequest), which draws distinct
/// endpoints, weighs what it draws, and takes constant time. Source: Envoy 1.40.0 and its documentation
/// of `active_request_bias`.
#[derive(Clone, Copy, Debug)]
pub struct LeastRequest {
    choices: u32,
    bias: f64,
}

#[derive(Debug)]
struct DrawPicker {
    snapshot: Arc<Snapshot>,
    choices: u32,
}

#[derive(Debug)]
struct BiasPicker {
    snapshot: Arc<Snapshot>,
    bias: f64,
}

// === impl LeastRequest ===

impl LeastRequest {
    /// With two choices and a bias of 1.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            choices: 2,
            bias: 1.0,
        }
    }

    /// How many are drawn where weights are equal: Envoy's `choice_count`. From 2; default 2.
    #[must_use]
    pub fn with_choices(mut self, choices: u32) -> Self {
        self.choices = choices.max(2);
        self
    }

    /// How much requests in flight count where weights differ: Envoy's `active_request_bias`. From 0;
    /// default 1. Less, and what is no number, counts as 0.
    #[must_use]
    pub fn with_bias(mut self, bias: f64) -> Self {
        self.bias = bias.max(0.0);
        self
    }
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for LeastRequest {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let snapshot = snapshot.ramped();
        let members = snapshot.members();
        let available = snapshot.available().iter();
        let mut weights = available.map(|&index| members[index as usize].weight());
        let first = weights.next();
        if weights.all(|weight| Some(weight) == first) {
            let choices = self.choices;
            return Box::new(DrawPicker { snapshot, choices });
        }
        let bias = self.bias;
        Box::new(BiasPicker { snapshot, bias })
    }
}

// === impl DrawPicker ===

impl Picker for DrawPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let (members, available) = (self.snapshot.members(), self.snapshot.available());
        let mut best: Option<(usize, usize)> = None;
        for _ in 0..self.choices {
            let index = *available.get(random.index(available.len()))? as usize;
            let in_flight = members[index].record().in_flight();
            let loses = best.is_some_and(|(_, least)| least <= in_flight);
            if !loses && !context.has_tried(&members[index]) {
                best = Some((index, in_flight));
            }
        }
        let drawn = best.map(|(index, _)| index);
        drawn.or_else(|| untried(&self.snapshot, context, random))
    }

    fn score(&self, index: usize, _: &Context<'_>) -> Option<f64> {
        Some(self.snapshot.members()[index].record().in_flight() as f64)
    }
}

// === impl BiasPicker ===

impl BiasPicker {
    fn weight(&self, endpoint: &Endpoint) -> f64 {
        let active = endpoint.record().in_flight() as f64;
        f64::from(endpoint.weight().get()) / (active + 1.0).powf(self.bias)
    }
}

impl Picker for BiasPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let members = self.snapshot.members();
        let weights =
            || in_order(&self.snapshot, context).map(|index| (index, self.weight(&members[index])));
        let total: f64 = weights().map(|(_, weight)| weight).sum();
        let mut left = random.unit() * total;
        let mut last = None;
        for (index, weight) in weights() {
            left -= weight;
            last = Some(index);
            if left < 0.0 {
                break;
            }
        }
        // Counts may have changed since they were summed up.
        last
    }

    fn score(&self, index: usize, _: &Context<'_>) -> Option<f64> {
        Some(1.0 / self.weight(&self.snapshot.members()[index]))
    }
}
