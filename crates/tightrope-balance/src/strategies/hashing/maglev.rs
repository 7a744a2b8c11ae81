//! By a look into a table that is filled evenly.

use std::{iter, sync::Arc};

use tightrope_upstream::Snapshot;

use super::{
    HashOn,
    bounded::Boundable,
    fill::{Seat, fill, prime},
    membership::{Candidate, Newest},
    mix,
    picker::{HashPicker, Table},
    room::Limit,
};
use crate::{Picker, Strategy};

/// Maglev hashing: one look into a table in which every endpoint has slots by its weight.
///
/// The first choice among the hashing strategies: the fastest pick, the evenest shares, and a
/// table whose size does not grow with the endpoints. Each has its share of the slots to within one
/// or two, and at least one slot while there are as many slots as endpoints. When one of n
/// endpoints leaves its keys move, and about as many of the others again: choose
/// [`RingHash`](crate::RingHash) or [`Rendezvous`](crate::Rendezvous) where that matters more than
/// speed. When one becomes unavailable only its own keys move, each to the owner of
/// another slot, and they come back.
///
/// The table has 65,537 slots by default, as in the paper and in Envoy: shares are even within a
/// percent for up to some 600 endpoints of the same weight. It takes 4 bytes a slot and is built
/// anew, in some milliseconds and off the path of requests, when members or weights change; 16
/// bytes an endpoint beside it.
///
/// A request that has nothing to hash goes to a random slot; see [`HashOn`].
///
/// Source: D. Eisenbud et al., "Maglev: a fast and reliable software network load balancer"
/// (2016), §3.4, with weights as in Envoy.
#[derive(Debug, Default)]
pub struct Maglev {
    hash_on: HashOn,
    slots: Slots,
    newest: Newest<Slotted>,
}

#[derive(Clone, Copy, Debug)]
struct Slots(u32);

/// The member that owns each slot.
#[derive(Debug)]
struct Slotted(Box<[u32]>);

// === impl Maglev ===

impl Maglev {
    /// With a table of 65,537 slots.
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

    /// With a table of at least this many slots: the next prime number, at most 5,000,011. A
    /// hundred times the number of endpoints keeps shares even within a percent.
    #[must_use]
    pub fn with_table_size(mut self, slots: u32) -> Self {
        self.slots = Slots(prime(slots));
        self
    }
}

impl Strategy for Maglev {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        self.build_within(snapshot, None)
    }
}

impl Boundable for Maglev {
    fn build_within(&mut self, snapshot: &Arc<Snapshot>, limit: Option<Limit>) -> Box<dyn Picker> {
        let Slots(slots) = self.slots;
        let membership = self.newest.of(snapshot, &self.hash_on, |candidates, _| {
            Slotted::new(candidates, slots)
        });
        Box::new(HashPicker {
            snapshot: Arc::clone(snapshot),
            membership,
            hash_on: self.hash_on,
            limit,
        })
    }
}

// === impl Slots ===

impl Default for Slots {
    fn default() -> Self {
        Self(65_537)
    }
}

// === impl Slotted ===

impl Slotted {
    fn new(candidates: &[Candidate], slots: u32) -> Self {
        let mut candidates = candidates.to_vec();
        // By identity, so that the order of configuration does not matter.
        candidates.sort_unstable_by_key(|(index, identity)| (identity.seed, *index));
        let seats = candidates.iter().map(|(_, identity)| Seat {
            offset: mix::reduce(mix::nth(identity.seed, 1), slots.into()) as u32,
            skip: mix::reduce(mix::nth(identity.seed, 2), u64::from(slots) - 1) as u32 + 1,
            weight: identity.weight.into(),
        });
        let mut table = fill(&seats.collect::<Vec<_>>(), slots);
        for owner in &mut table {
            *owner = candidates[*owner as usize].0;
        }
        Self(table)
    }
}

impl Table for Slotted {
    fn route(&self, hash: u64) -> impl Iterator<Item = usize> {
        // Not the slots beside: those of few owners lie in regular patterns.
        let hashes = iter::successors(Some(hash), |&hash| Some(mix::mix(hash)));
        let slots = self.0.len() as u64;
        hashes.map_while(move |hash| {
            let owner = self.0.get(mix::reduce(hash, slots) as usize)?;
            Some(*owner as usize)
        })
    }
}
