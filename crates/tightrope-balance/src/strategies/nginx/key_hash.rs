//! By a key of the user's choice.

use std::{iter, sync::Arc};

use tightrope_upstream::Snapshot;

use super::places::Places;
use crate::{Context, Picker, Random, RoundRobin, Strategy};

/// nginx's `hash KEY`: requests with the same key stay on an endpoint for as long as that is
/// available.
///
/// The key is what [`Context::with_key`] was given. Endpoints that are unavailable keep their
/// places, so nobody else moves when one fails; removing one moves most keys.
///
/// A request without a key, or with an empty one, goes by turns, as do those whose 21 hashes all
/// hit somebody unavailable. At most 21 steps a pick, 8 bytes an endpoint. Source: `hash` of nginx
/// 1.22.1, whose checksum is the CRC-32 of zlib.
#[derive(Debug, Default)]
pub struct KeyHash {
    turns: RoundRobin,
}

#[derive(Debug)]
struct KeyHashPicker(Places);

impl KeyHash {
    /// The strategy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Strategy for KeyHash {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let turns = self.turns.picker(snapshot);
        Box::new(KeyHashPicker(Places::new(snapshot, turns)))
    }
}

impl Picker for KeyHashPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        match context.key().filter(|key| !key.is_empty()) {
            Some(key) => self.0.find(hashes(key), context, random),
            None => self.0.find(iter::empty(), context, random),
        }
    }
}

/// The checksum of the key, then that plus the checksum of `1` and the key, of `2` and the key ...
fn hashes(key: &[u8]) -> impl Iterator<Item = u32> {
    let mut hash = 0_u32;
    (0_u8..).map(move |again| {
        let mut checksum = crc32fast::Hasher::new();
        match again {
            0 => {}
            1..=9 => checksum.update(&[b'0' + again]),
            _ => checksum.update(&[b'0' + again / 10, b'0' + again % 10]),
        }
        checksum.update(key);
        hash = hash.wrapping_add((checksum.finalize() >> 16) & 0x7fff);
        hash
    })
}
