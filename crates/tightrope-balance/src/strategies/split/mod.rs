//! Strategies that split the traffic between parts of an upstream, and let others choose within each.

mod loads;
mod priorities;
mod zones;

use std::sync::Arc;

use tightrope_upstream::{Observer, Snapshot, Weight};

pub use self::{priorities::Priorities, zones::Zones};
use crate::{Context, HashOn, Picker, Random};

/// A part of an upstream, and the share of the traffic that it gets.
struct Part {
    share: u32,
    picker: Box<dyn Picker>,
}

/// Draws a part by its share, and goes on to the others, in order, where nobody of that part will do.
#[derive(Debug)]
struct SplitPicker {
    /// Each with the sum of the shares up to and with its own.
    parts: Box<[(u32, Box<dyn Picker>)]>,
    /// The place of each member's part, by index.
    part_of: Box<[u32]>,
    /// Of each member, by index; none unless a strategy learns.
    observers: Box<[Arc<dyn Observer>]>,
    affinity: Option<HashOn>,
}

impl SplitPicker {
    /// `part_of` tells the place of the part that each member is in.
    fn new(parts: Vec<Part>, part_of: Box<[u32]>, affinity: Option<HashOn>) -> Self {
        let observer = |(index, &part): (usize, &u32)| {
            let observers = parts.get(part as usize)?.picker.observers();
            observers.get(index).cloned()
        };
        // All strategies are of one kind: all learn, or none.
        let observers: Option<Box<[_]>> = part_of.iter().enumerate().map(observer).collect();
        let mut sum = 0;
        let parts = parts.into_iter().map(|part| {
            sum += part.share;
            (sum, part.picker)
        });
        Self {
            parts: parts.collect(),
            observers: observers.unwrap_or_default(),
            part_of,
            affinity,
        }
    }

    /// The place of the part whose turn it is.
    fn draw(&self, context: &Context<'_>, random: &mut Random) -> usize {
        let all = self.parts.last().map_or(0, |&(sum, _)| sum);
        if self.parts.first().is_none_or(|&(sum, _)| sum == all) {
            return 0;
        }
        let hash = self.affinity.and_then(|affinity| affinity.hash(context));
        let draw = match hash {
            Some(hash) => spread(hash, all),
            None => random.below(all.into()) as u32,
        };
        self.parts.partition_point(|&(sum, _)| sum <= draw)
    }
}

impl Picker for SplitPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let drawn = self.draw(context, random);
        let (_, picker) = self.parts.get(drawn)?;
        picker.pick(context, random).or_else(|| {
            let others = self.parts.iter().enumerate();
            let mut others = others.filter(|&(place, _)| place != drawn);
            others.find_map(|(_, (_, picker))| picker.pick(context, random))
        })
    }

    fn score(&self, index: usize, context: &Context<'_>) -> Option<f64> {
        let &part = self.part_of.get(index)?;
        let (_, picker) = self.parts.get(part as usize)?;
        picker.score(index, context)
    }

    fn observers(&self) -> &[Arc<dyn Observer>] {
        &self.observers
    }
}

/// The part of `snapshot` that has the members for which `is_in` is true. To be asked the same for
/// the same layout.
fn part(snapshot: &Snapshot, is_in: impl Fn(usize) -> bool) -> Arc<Snapshot> {
    Arc::new(snapshot.with_weights(|index| {
        if is_in(index) {
            snapshot.members()[index].weight()
        } else {
            Weight::ZERO
        }
    }))
}

/// A number below `bound` that tells nothing of where else the hash leads.
const fn spread(hash: u64, bound: u32) -> u32 {
    // Fibonacci hashing: the upper half of the product depends on all bits.
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    ((mixed * bound as u64) >> 32) as u32
}
