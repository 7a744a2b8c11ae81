//! HAProxy's circle for `consistent` hashing.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::{function::avalanche, id, picker::Table};
use crate::strategies::hashing::{Ring, points};

/// Points on a circle, of which the nearest counts.
#[derive(Debug)]
pub(super) struct Tree {
    ring: Ring<u32>,
    share: Option<Share>,
}

/// Who may have how much in flight.
#[derive(Debug)]
struct Share {
    snapshot: Arc<Snapshot>,
    percent: u64,
    /// The weight of all who are available before each member, and of them together.
    before: Box<[u64]>,
    total: u64,
}

/// The points for each unit of weight, and the most that anybody has.
const EACH: u32 = 16;
const RANGE: u32 = 4_096;
/// The most points of all, as far as there are not more members than that.
const MOST: u64 = 1 << 21;

// === impl Tree ===

impl Tree {
    pub(super) fn new(snapshot: &Arc<Snapshot>, balance_factor: Option<u32>) -> Self {
        let numbers = id::numbers(snapshot);
        let candidates = snapshot.candidates().iter();
        let total = candidates.map(|&index| weight(snapshot, index)).sum();
        let available = snapshot.available().iter();
        let all = available.flat_map(|&index| {
            let count = points(weight(snapshot, index) as u32, EACH, total, MOST);
            let first = numbers[index as usize].wrapping_mul(RANGE);
            (0..count as u32).map(move |n| (avalanche(first.wrapping_add(n)), index))
        });
        Self {
            ring: Ring::new(&all.collect::<Vec<_>>()),
            share: balance_factor.map(|percent| Share::new(snapshot, percent)),
        }
    }

    /// The place of the point that is nearest to `hash`, the one before it if two are.
    fn nearest(&self, hash: u32) -> usize {
        let points = self.ring.points();
        let next = self.ring.at_or_after(hash);
        let before = next
            .checked_sub(1)
            .unwrap_or(points.len().saturating_sub(1));
        let (Some((next_point, _)), Some((point, _))) = (points.get(next), points.get(before))
        else {
            return 0;
        };
        if hash.wrapping_sub(*point) <= next_point.wrapping_sub(hash) {
            before
        } else {
            next
        }
    }
}

impl Table for Tree {
    fn find(&self, hash: u32, may: impl Fn(usize) -> bool) -> Option<usize> {
        let owners = || {
            let points = self.ring.from(self.nearest(hash));
            points
                .map(|(_, owner)| owner as usize)
                .filter(|&owner| may(owner))
        };
        let Some(share) = &self.share else {
            return owners().next();
        };
        let mut slots = None;
        owners()
            .find(|&owner| share.is_left(owner, &mut slots))
            .or_else(|| owners().next())
    }

    fn nth(&self, turn: u64) -> Option<usize> {
        let points = self.ring.points();
        let place = turn.checked_rem(points.len() as u64)?;
        Some(points[place as usize].1 as usize)
    }
}

// === impl Share ===

impl Share {
    fn new(snapshot: &Arc<Snapshot>, percent: u32) -> Self {
        let mut before = vec![0; snapshot.members().len()].into_boxed_slice();
        let mut total = 0;
        for &index in snapshot.available() {
            before[index as usize] = total;
            total += weight(snapshot, index);
        }
        Self {
            snapshot: Arc::clone(snapshot),
            percent: percent.into(),
            before,
            total,
        }
    }

    /// Whether a member may have one more. `slots` is what all may have, once it is counted.
    fn is_left(&self, index: usize, slots: &mut Option<u64>) -> bool {
        let members = self.snapshot.members();
        let served = members[index].record().in_flight() as u64;
        if served == 0 {
            return true;
        }
        let slots = *slots.get_or_insert_with(|| {
            let served: u64 = members.iter().map(|m| m.record().in_flight() as u64).sum();
            ((served + 1).saturating_mul(self.percent)).div_ceil(100)
        });
        // Each has the whole slots that lie in its range of the weights.
        let up_to = |weight: u64| u128::from(weight) * u128::from(slots) / u128::from(self.total);
        let before = self.before[index];
        let own = up_to(before + weight(&self.snapshot, index as u32)) - up_to(before);
        u128::from(served) < own.max(1)
    }
}

/// The weight of a member as HAProxy knows it.
fn weight(snapshot: &Snapshot, index: u32) -> u64 {
    let weight = snapshot.members()[index as usize].weight().get();
    weight.min(RANGE / EACH).into()
}
