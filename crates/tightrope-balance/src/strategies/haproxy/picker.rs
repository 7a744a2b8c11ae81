//! The picker that HAProxy's hashing strategies share.

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tightrope_upstream::Snapshot;

use super::{
    hash_type::{HashType, Method},
    map::Map,
    tree::Tree,
};
use crate::{Context, Picker, Random, strategies::untried};

/// What a strategy is set to, and the turns that were taken.
#[derive(Debug)]
pub(super) struct Settings {
    hash_type: HashType,
    /// In percent.
    balance_factor: Option<u32>,
    turns: Arc<AtomicU64>,
}

/// What of a request is hashed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input {
    Key,
    Client,
}

/// Those who are available, as hashes and turns find them.
pub(super) trait Table: fmt::Debug + Send + Sync + 'static {
    /// The member that `hash` leads to, of those that `may` be taken.
    fn find(&self, hash: u32, may: impl Fn(usize) -> bool) -> Option<usize>;

    /// The member whose turn it is.
    fn nth(&self, turn: u64) -> Option<usize>;
}

struct HaproxyPicker<T> {
    snapshot: Arc<Snapshot>,
    table: T,
    input: Input,
    hash_type: HashType,
    turns: Arc<AtomicU64>,
}

/// How many turns a retry takes to find somebody whom it did not try.
const TURNS: u64 = 8;

// === impl Settings ===

impl Settings {
    pub(super) fn new(hash_type: HashType) -> Self {
        Self {
            hash_type,
            balance_factor: None,
            turns: Arc::default(),
        }
    }

    pub(super) fn set_balance_factor(&mut self, percent: u32) {
        self.balance_factor = Some(percent.max(100));
    }

    pub(super) fn picker(&self, snapshot: &Arc<Snapshot>, input: Input) -> Box<dyn Picker> {
        match self.hash_type.method {
            Method::MapBased => Box::new(self.over(Map::new(snapshot), snapshot, input)),
            Method::Consistent => {
                let tree = Tree::new(snapshot, self.balance_factor);
                Box::new(self.over(tree, snapshot, input))
            }
        }
    }

    fn over<T>(&self, table: T, snapshot: &Arc<Snapshot>, input: Input) -> HaproxyPicker<T> {
        HaproxyPicker {
            snapshot: Arc::clone(snapshot),
            table,
            input,
            hash_type: self.hash_type,
            turns: Arc::clone(&self.turns),
        }
    }
}

// === impl HaproxyPicker ===

impl<T: Table> HaproxyPicker<T> {
    fn hash(&self, context: &Context<'_>) -> Option<u32> {
        match self.input {
            Input::Key => {
                let key = context.key().filter(|key| !key.is_empty())?;
                Some(self.hash_type.of_key(key))
            }
            Input::Client => Some(self.hash_type.of_number(fold(context.client()?))),
        }
    }

    fn in_turn(&self, is_dry_run: bool, may: impl Fn(usize) -> bool) -> Option<usize> {
        // Relaxed: the turn orders nothing but itself.
        let mut turns = (0..TURNS).map_while(|n| {
            let turn = if is_dry_run {
                self.turns.load(Ordering::Relaxed).wrapping_add(n)
            } else {
                self.turns.fetch_add(1, Ordering::Relaxed)
            };
            self.table.nth(turn)
        });
        turns.find(|&index| may(index))
    }
}

impl<T: Table> Picker for HaproxyPicker<T> {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let members = self.snapshot.members();
        let may = |index: usize| !context.has_tried(&members[index]);
        match self.hash(context) {
            Some(hash) => self.table.find(hash, may),
            None => self.in_turn(context.is_dry_run(), may),
        }
        .or_else(|| untried(&self.snapshot, context, random))
    }
}

impl<T> fmt::Debug for HaproxyPicker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HaproxyPicker")
            .field("snapshot", &self.snapshot)
            .field("input", &self.input)
            .field("hash_type", &self.hash_type)
            .finish_non_exhaustive()
    }
}

/// An IPv4 address as a number; of an IPv6 address the exclusive or of its four words.
fn fold(client: IpAddr) -> u32 {
    match client {
        IpAddr::V4(client) => client.to_bits(),
        IpAddr::V6(client) => {
            let bits = client.to_bits();
            (0..4).fold(0, |hash, word| hash ^ (bits >> (32 * word)) as u32)
        }
    }
}
