//! By the next point on a circle.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::{
    HashOn,
    bounded::Boundable,
    circle::Circle,
    membership::Newest,
    picker::{HashPicker, Table},
    room::Limit,
};
use crate::{Picker, Strategy};

/// Ring hashing, as of ketama: every endpoint has points on a circle, and a key goes to the next.
///
/// When somebody leaves exactly its keys move, and somebody who joins takes its share from all:
/// the points of one endpoint do not depend on the others. When one becomes unavailable its keys
/// go to the owner of the next point, and come back.
///
/// An endpoint has 160 points for each unit of its weight, which makes shares deviate by 8 % from
/// what weights say (one standard deviation, and half as much with four times the points); with
/// weights of around 100 a few for each are enough. Choose [`Maglev`](crate::Maglev) where evenness
/// or a small table matters more than how many keys move.
///
/// One hash and two looks a pick, whatever the number of endpoints; 9 bytes a point, so 1.4 kB for
/// each unit of weight, and 40 bytes an endpoint. More than 2,097,152 points are not made: beyond,
/// everybody gets fewer in proportion, and then one that leaves moves more keys than its own.
/// Where few join, leave or change their weight, their points are merged into those of the others,
/// which are not sorted again.
///
/// A request that has nothing to hash goes to a random point; see [`HashOn`].
///
/// Sources: D. Karger et al., "Consistent hashing and random trees" (1997); the number of points
/// is that of libketama. [`nginx::ConsistentHash`](crate::nginx::ConsistentHash) and
/// [`envoy::RingHash`](crate::envoy::RingHash) place keys as those do.
#[doc(alias = "ketama")]
#[derive(Debug, Default)]
pub struct RingHash {
    hash_on: HashOn,
    points: PointsEach,
    newest: Newest<Circle>,
}

#[derive(Clone, Copy, Debug)]
struct PointsEach(u32);

// === impl RingHash ===

impl RingHash {
    /// With 160 points for each unit of weight.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is hashed; default [`HashOn::key_or_client`].
    #[must_use]
    pub const fn with_hash_on(mut self, hash_on: HashOn) -> Self {
        self.hash_on = hash_on;
        self
    }

    /// With this many points for each unit of weight; 0 counts as 1.
    #[must_use]
    pub fn with_points_per_weight(mut self, points: u32) -> Self {
        self.points = PointsEach(points.max(1));
        self
    }
}

impl Strategy for RingHash {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        self.build_within(snapshot, None)
    }
}

impl Boundable for RingHash {
    fn build_within(&mut self, snapshot: &Arc<Snapshot>, limit: Option<Limit>) -> Box<dyn Picker> {
        let PointsEach(each) = self.points;
        let membership = self
            .newest
            .of(snapshot, &self.hash_on, |candidates, before| {
                Circle::new(candidates, each, before)
            });
        Box::new(HashPicker {
            snapshot: Arc::clone(snapshot),
            membership,
            hash_on: self.hash_on,
            limit,
        })
    }
}

// === impl PointsEach ===

impl Default for PointsEach {
    fn default() -> Self {
        Self(160)
    }
}

impl Table for Circle {
    fn route(&self, hash: u64) -> impl Iterator<Item = usize> {
        let place = self.ring.at_or_after((hash >> 32) as u32);
        self.ring.from(place).map(|(_, owner)| owner as usize)
    }
}
