//! By computation alone.

use std::{iter, sync::Arc};

use tightrope_upstream::Snapshot;

use super::{
    HashOn,
    bounded::Boundable,
    membership::{Candidate, Newest},
    mix,
    picker::{HashPicker, Table},
    room::Limit,
};
use crate::{Picker, Strategy};

/// Jump consistent hashing: computes the number of the endpoint from the key.
///
/// For numbered shards: endpoints count by their place in the configuration, so they may come
/// and go only at the end of the list. There it is ideal: perfectly even, and exactly the keys
/// that must move do. Anywhere else, one that joins or leaves moves the keys of all behind it:
/// choose [`Maglev`](crate::Maglev) or [`RingHash`](crate::RingHash) where endpoints come and go as
/// they like. An endpoint of weight 2 counts as two in a row.
///
/// A key whose endpoint is unavailable is hashed anew, and comes back. A pick takes more steps the
/// more endpoints there are, in proportion to the logarithm, and costs more than a look into a
/// table; 32 bytes an endpoint, and no table to build.
///
/// A request that has nothing to hash goes to a random endpoint by weight; see [`HashOn`].
///
/// Source: J. Lamping and E. Veach, "A fast, minimal memory, consistent hash algorithm" (2014).
#[derive(Debug, Default)]
pub struct Jump {
    hash_on: HashOn,
    newest: Newest<Numbered>,
}

/// Buckets in a row, as many for each member as its weight.
#[derive(Debug)]
struct Numbered {
    /// Where the buckets of each member end, and which it is.
    ends: Box<[(u64, u32)]>,
}

// === impl Jump ===

impl Jump {
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

impl Strategy for Jump {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        self.build_within(snapshot, None)
    }
}

impl Boundable for Jump {
    fn build_within(&mut self, snapshot: &Arc<Snapshot>, limit: Option<Limit>) -> Box<dyn Picker> {
        Box::new(HashPicker {
            snapshot: Arc::clone(snapshot),
            membership: self.newest.of(snapshot, &self.hash_on, |candidates, _| {
                Numbered::new(candidates)
            }),
            hash_on: self.hash_on,
            limit,
        })
    }
}

// === impl Numbered ===

impl Numbered {
    fn new(candidates: &[Candidate]) -> Self {
        let mut end = 0;
        let ends = candidates.iter().map(|(index, identity)| {
            end += u64::from(identity.weight);
            (end, *index)
        });
        Self {
            ends: ends.collect(),
        }
    }
}

impl Table for Numbered {
    fn route(&self, hash: u64) -> impl Iterator<Item = usize> {
        let buckets = self.ends.last().map_or(0, |&(end, _)| end);
        let mut hash = hash;
        iter::from_fn(move || {
            let bucket = jump(hash, buckets)?;
            hash = mix::mix(hash);
            let owner = self.ends.partition_point(|&(end, _)| end <= bucket);
            Some(self.ends[owner].1 as usize)
        })
    }
}

/// The bucket of a key; `None` where there are none.
fn jump(mut key: u64, buckets: u64) -> Option<u64> {
    let (mut bucket, mut next) = (None, 0);
    while next < buckets {
        bucket = Some(next);
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // The next bucket that this key would jump to if there were more and more of them.
        let step = (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = ((next + 1) as f64 * step) as u64;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_other_implementations() {
        let known = [
            (1, 1, 0),
            (42, 57, 43),
            (0xdead_10cc, 666, 361),
            (256, 1024, 520),
        ];
        for (key, buckets, expected) in known {
            assert_eq!(jump(key, buckets), Some(expected), "{key} of {buckets}");
        }
        assert_eq!(jump(7, 0), None);
    }

    #[test]
    fn one_bucket_more_moves_keys_only_into_it() {
        for key in (0..1_000_u64).map(mix::mix) {
            for buckets in 1..50 {
                let (before, after) = (jump(key, buckets), jump(key, buckets + 1));
                assert!(after == before || after == Some(buckets));
            }
        }
    }
}
