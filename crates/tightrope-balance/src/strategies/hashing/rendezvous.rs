//! To the endpoint with the highest score for the key.

use std::{iter, sync::Arc};

use tightrope_upstream::Snapshot;

use super::{
    HashOn,
    bounded::Boundable,
    membership::{Identity, Newest},
    mix,
    picker::{HashPicker, Table},
    room::Limit,
};
use crate::{Picker, Strategy};

/// Weighted rendezvous hashing: each endpoint has a score for each key, and the highest wins.
///
/// The most faithful of the hashing strategies: shares follow weights exactly in the mean, a
/// member that leaves moves its own keys and nobody else's, one that joins takes its share evenly
/// from all, and a changed weight moves only what it must. A key whose endpoint is unavailable
/// goes to its second highest, and comes back.
///
/// The price is a look at every available endpoint for each pick, some 45 instructions each:
/// choose [`Maglev`](crate::Maglev) for more than some hundred. 16 bytes an endpoint.
///
/// A request that has nothing to hash goes to a random endpoint by weight; see [`HashOn`].
///
/// Sources: D. Thaler and C. Ravishankar, "A name-based mapping scheme for rendezvous" (1996);
/// weights by the score `-weight / ln(u)` of J. Resch, "New hashing algorithms for data storage"
/// (2015).
#[derive(Debug, Default)]
pub struct Rendezvous {
    hash_on: HashOn,
    newest: Newest<NoTable>,
}

/// Every pick is decided by scores.
#[derive(Debug)]
struct NoTable;

// === impl Rendezvous ===

impl Rendezvous {
    /// The strategy.
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
}

impl Strategy for Rendezvous {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        self.build_within(snapshot, None)
    }
}

impl Boundable for Rendezvous {
    fn build_within(&mut self, snapshot: &Arc<Snapshot>, limit: Option<Limit>) -> Box<dyn Picker> {
        Box::new(HashPicker {
            snapshot: Arc::clone(snapshot),
            membership: self.newest.of(snapshot, &self.hash_on, |_, _| NoTable),
            hash_on: self.hash_on,
            limit,
        })
    }
}

impl Table for NoTable {
    fn route(&self, _: u64) -> impl Iterator<Item = usize> {
        iter::empty()
    }
}

/// Of the `available` who will do, the one with the highest score for `hash`.
pub(super) fn best(
    hash: u64,
    identities: &[Identity],
    available: &[u32],
    mut will_do: impl FnMut(usize) -> bool,
) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for &index in available {
        let index = index as usize;
        let Identity { seed, weight } = identities[index];
        let (u, weight) = (unit(mix::mix(hash ^ seed)), f64::from(weight));
        // As -ln(u) >= 1 - u, most need no logarithm to be known to lose.
        let loses = best.is_some_and(|(_, highest)| weight <= highest * (1.0 - u));
        if loses || !will_do(index) {
            continue;
        }
        let score = weighted(weight, u);
        if best.is_none_or(|(_, highest)| score > highest) {
            best = Some((index, score));
        }
    }
    best.map(|(index, _)| index)
}

/// How much the key with this `hash` wants a member.
pub(super) fn score(hash: u64, identity: Identity) -> f64 {
    let u = unit(mix::mix(hash ^ identity.seed));
    weighted(f64::from(identity.weight), u)
}

fn weighted(weight: f64, u: f64) -> f64 {
    weight / -u.ln()
}

/// Maps a hash to a number between 0 and 1 that is neither, exactly.
fn unit(hash: u64) -> f64 {
    const SCALE: f64 = 1.0 / (1_u64 << 52) as f64;
    ((hash >> 12) as f64 + 0.5) * SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hash_maps_to_an_end_of_the_unit_interval() {
        for hash in [0, 1, 1 << 63, u64::MAX - 1, u64::MAX] {
            let u = unit(hash);
            assert!(u > 0.0 && u < 1.0 && (-u.ln()).is_normal(), "{hash}: {u}");
        }
    }
}
