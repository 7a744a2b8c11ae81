//! Envoy's `maglev`.

use std::{iter, sync::Arc};

use tightrope_upstream::Snapshot;
use xxhash_rust::xxh64::xxh64;

use super::picker::{Hosts, build};
use crate::{
    Picker, Strategy,
    strategies::hashing::{Seat, Table, fill, prime},
};

/// Envoy's `maglev`: a look into a table in which every endpoint has slots by its weight.
///
/// A request without a key goes to a random slot. A retry hashes anew, as Envoy does with the retry
/// host predicate `previous_hosts`. One hash and one look a pick; 4 bytes a slot and 16 bytes an
/// endpoint. The table is built anew whenever somebody becomes available or unavailable.
///
/// Source: `maglev` of Envoy 1.40.0, after D. Eisenbud et al., "Maglev: a fast and reliable software
/// network load balancer" (2016), with xxHash64.
#[derive(Clone, Copy, Debug)]
pub struct Maglev {
    slots: u32,
    balance_factor: Option<u32>,
}

/// The host that owns each slot.
#[derive(Debug)]
struct Slotted(Box<[u32]>);

// === impl Maglev ===

impl Maglev {
    /// With Envoy's default of 65,537 slots and no bound on load.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: 65_537,
            balance_factor: None,
        }
    }

    /// Envoy's `table_size`; a number that is not prime, which Envoy refuses, counts as the next
    /// prime. At most 5,000,011.
    #[must_use]
    pub fn with_table_size(mut self, slots: u32) -> Self {
        self.slots = prime(slots);
        self
    }

    /// Envoy's `hash_balance_factor`, in percent: an endpoint that has more in flight than this
    /// much of its share is passed over. Less than 100 counts as 100.
    ///
    /// A busy endpoint costs a look at all of them.
    #[must_use]
    pub fn with_hash_balance_factor(mut self, percent: u32) -> Self {
        self.balance_factor = Some(percent.max(100));
        self
    }
}

impl Default for Maglev {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for Maglev {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        build(snapshot, self.balance_factor, |hosts| {
            Slotted::new(hosts, self.slots)
        })
    }
}

// === impl Slotted ===

impl Slotted {
    fn new(hosts: &Hosts, slots: u32) -> Self {
        let mut order: Vec<(&str, u32)> = hosts.keys().zip(0..).collect();
        order.sort_unstable();
        let seats = order.iter().map(|&(key, position)| Seat {
            offset: (xxh64(key.as_bytes(), 0) % u64::from(slots)) as u32,
            skip: (xxh64(key.as_bytes(), 1) % u64::from(slots - 1)) as u32 + 1,
            weight: hosts.weight(position),
        });
        let mut table = fill(&seats.collect::<Vec<_>>(), slots);
        for owner in &mut table {
            *owner = order[*owner as usize].1;
        }
        Self(table)
    }
}

impl Table for Slotted {
    fn route(&self, hash: u64) -> impl Iterator<Item = usize> {
        // The two's complement of the attempt: it changes many bits.
        let hashes = iter::once(hash).chain((1_u64..).map(move |n| hash ^ n.wrapping_neg()));
        let slots = self.0.len() as u64;
        hashes.map_while(move |hash| {
            let slot = hash.checked_rem(slots)?;
            Some(self.0[slot as usize] as usize)
        })
    }
}
