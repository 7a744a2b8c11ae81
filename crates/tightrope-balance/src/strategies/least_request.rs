//! To the less busy one.

use std::sync::Arc;

use tightrope_upstream::{Endpoint, Snapshot};

use super::{draw::Draw, in_order};
use crate::{Context, Picker, Random, Strategy};

/// To the endpoint with the fewest requests in flight for its weight, of a few drawn ones or of
/// all.
///
/// [`new`](Self::new) draws two distinct endpoints and takes the less busy one: constant time, and
/// close to the best choice without the herding of a full scan. [`full_scan`](Self::full_scan)
/// looks at all of them, unless a few draws find an idle one: the most even for one balancer and few
/// endpoints, but where all are busy time grows with their number, and many balancers that do not see
/// each other's requests all run to the same one.
///
/// An idle endpoint costs 0, a busy one `(in flight + 1) / weight`: it counts the request that is
/// about to be sent. One that fails counts as busier by its [penalty](tightrope_upstream::Record::penalty),
/// or else it would look idle and draw everybody. Of equals the first drawn is taken, and draws
/// follow the weights, so even without load the shares do. 16 bytes an endpoint.
///
/// Do not choose it where endpoints differ in speed, or many balancers share them: counts of its
/// own requests alone then say little, and [`PeakEwma`](crate::PeakEwma) knows more. Sources: M.
/// Mitzenmacher, "The power of two choices in randomized load balancing" (1996); the cost is
/// HAProxy's `leastconn`.
#[derive(Clone, Copy, Debug)]
pub struct LeastRequest {
    look: Look,
}

#[derive(Clone, Copy, Debug)]
enum Look {
    Draw(usize),
    All,
}

#[derive(Debug)]
struct DrawPicker {
    draw: Draw,
    choices: usize,
}

#[derive(Debug)]
struct ScanPicker {
    /// None where nobody is available.
    draw: Option<Draw>,
}

/// One draw in the hope of an idle endpoint for so many that a scan would look at.
const PER_DRAW: usize = 16;

/// The most of these draws.
const DRAWS: usize = 8;

// === impl LeastRequest ===

impl LeastRequest {
    /// The less busy of two.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            look: Look::Draw(2),
        }
    }

    /// The least busy of `choices` drawn ones: 2 to 16, where less counts as 2 and more as 16.
    /// Where fewer are available all of them are compared.
    #[must_use]
    pub fn with_choices(choices: usize) -> Self {
        Self {
            look: Look::Draw(choices.clamp(2, Draw::MOST)),
        }
    }

    /// The least busy of all.
    #[must_use]
    pub const fn full_scan() -> Self {
        Self { look: Look::All }
    }
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for LeastRequest {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        match (self.look, Draw::new(&snapshot.ramped())) {
            (Look::Draw(choices), Some(draw)) if choices < snapshot.available().len() => {
                Box::new(DrawPicker { draw, choices })
            }
            (_, draw) => Box::new(ScanPicker { draw }),
        }
    }
}

// === impl Picker ===

impl Picker for DrawPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        least_busy(&self.draw, self.choices, context, random)
    }

    fn score(&self, index: usize, _: &Context<'_>) -> Option<f64> {
        Some(Cost::of(&self.draw.snapshot().members()[index]).score())
    }
}

impl Picker for ScanPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let draw = self.draw.as_ref()?;
        let snapshot = draw.snapshot();
        // Nobody is less busy than who is idle, and draws find the idle ones by weight.
        let draws = DRAWS.min(snapshot.available().len() / PER_DRAW);
        let is_idle = |endpoint: &Endpoint| Cost::of(endpoint).requests == 0;
        draw.one_of(draws, context, random, is_idle)
            .or_else(|| least_busy_of(snapshot.members(), in_order(snapshot, context), random))
    }

    fn score(&self, index: usize, _: &Context<'_>) -> Option<f64> {
        let snapshot = self.draw.as_ref()?.snapshot();
        Some(Cost::of(&snapshot.members()[index]).score())
    }
}

/// The least busy of all `candidates`; of equals one that is drawn by weight.
fn least_busy_of(
    members: &[Arc<Endpoint>],
    candidates: impl Iterator<Item = usize> + Clone,
    random: &mut Random,
) -> Option<usize> {
    let costs = candidates.map(|index| (index, Cost::of(&members[index])));
    let mut in_order = costs.clone();
    let (mut best, mut least) = in_order.next()?;
    let mut equals = least.weight;
    for (index, cost) in in_order {
        if cost.is_less(least) {
            (best, least, equals) = (index, cost, cost.weight);
        } else if !least.is_less(cost) {
            equals += cost.weight;
        }
    }
    if equals == least.weight {
        return Some(best);
    }
    // Counts go on changing: who was equal may not be any more, and others may be now.
    let mut left = random.below(equals);
    for (index, cost) in costs {
        if !cost.is_less(least) && !least.is_less(cost) {
            match left.checked_sub(cost.weight) {
                Some(rest) => left = rest,
                None => return Some(index),
            }
        }
    }
    Some(best)
}

/// The least busy of `choices` drawn ones; the first drawn of equals.
#[inline]
pub(super) fn least_busy(
    draw: &Draw,
    choices: usize,
    context: &Context<'_>,
    random: &mut Random,
) -> Option<usize> {
    if choices == 2
        && let Some([one, other]) = draw.two(context, random)
    {
        let members = draw.snapshot().members();
        let is_less = Cost::of(&members[other]).is_less(Cost::of(&members[one]));
        return Some(if is_less { other } else { one });
    }
    least_busy_of_some(draw, choices, context, random)
}

// Apart, as all that is rarely called for: two draws save fewer registers that way.
#[inline(never)]
fn least_busy_of_some(
    draw: &Draw,
    choices: usize,
    context: &Context<'_>,
    random: &mut Random,
) -> Option<usize> {
    let members = draw.snapshot().members();
    let drawn = draw.some(choices, context, random);
    let mut in_order = drawn.iter().map(|index| (index, Cost::of(&members[index])));
    let first = in_order.next()?;
    let best = in_order.fold(
        first,
        |best, next| {
            if next.1.is_less(best.1) { next } else { best }
        },
    );
    Some(best.0)
}

// === impl Cost ===

/// What one more request would cost, as a fraction.
#[derive(Clone, Copy)]
struct Cost {
    requests: u64,
    weight: u64,
}

impl Cost {
    fn of(endpoint: &Endpoint) -> Self {
        let in_flight = endpoint.record().in_flight() as u64;
        let requests = match endpoint.record().penalty() {
            1 if in_flight == 0 => 0,
            1 => in_flight + 1,
            penalty => (in_flight + 1) * u64::from(penalty),
        };
        let weight = u64::from(endpoint.weight().get());
        Self { requests, weight }
    }

    fn score(self) -> f64 {
        self.requests as f64 / self.weight as f64
    }

    const fn is_less(self, other: Self) -> bool {
        self.requests * other.weight < other.requests * self.weight
    }
}
