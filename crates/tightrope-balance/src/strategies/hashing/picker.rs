//! The picker that all hashing strategies share.

use std::{fmt, sync::Arc};

use tightrope_upstream::Snapshot;

use super::{HashOn, membership::Membership, mix, rendezvous, room::Limit};
use crate::{Context, Picker, Random};

/// Where hashes lead.
pub(in crate::strategies) trait Table:
    fmt::Debug + Send + Sync + 'static
{
    /// The members that `hash` leads to, the most wanted first; the same ones for as long as
    /// membership stays the same. May name one more than once, and may end.
    fn route(&self, hash: u64) -> impl Iterator<Item = usize>;
}

/// Sends a request to the first on its route who will do; if the first few will not, to the one of
/// all who will whose rendezvous score is the highest.
///
/// The route depends on membership alone. So when somebody becomes unavailable only those requests
/// move whose first available choice it was, each to the next on its own route, and all come back
/// when it does.
pub(super) struct HashPicker<T> {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) membership: Arc<Membership<T>>,
    pub(super) hash_on: HashOn,
    pub(super) limit: Option<Limit>,
}

/// How far a route is followed before everybody who is available is scored. With half of the
/// endpoints out, one request in 4 billion gets there.
const STEPS: usize = 32;

impl<T: Table> HashPicker<T> {
    /// Whether the key of this hash goes to a member by now that starts slowly: as many of its keys as
    /// it has of its weight, each of which came once and stays.
    fn has_its_turn(&self, hash: u64, index: usize) -> bool {
        let percent = self.snapshot.ramp_percent(index);
        let seed = self.membership.identities[index].seed;
        percent >= 100 || mix::reduce(mix::nth(hash ^ seed, 1), 100) < percent.into()
    }

    /// While somebody starts slowly. Apart, so that the pick above is made in place.
    #[inline(never)]
    fn pick_among_starting(&self, hash: u64, context: &Context<'_>) -> Option<usize> {
        let by_now = |index| self.may(index, context) && self.has_its_turn(hash, index);
        self.find_within(hash, by_now)
            .or_else(|| self.find_within(hash, |index| self.may(index, context)))
    }

    #[inline]
    fn may(&self, index: usize, context: &Context<'_>) -> bool {
        self.snapshot.availability()[index].is_available()
            && !context.has_tried(&self.snapshot.members()[index])
    }

    /// One who has room, if there is a limit; where only those have room who will not do, one who will.
    #[inline(always)] // for the sake of the closures
    fn find_within(&self, hash: u64, may: impl Fn(usize) -> bool) -> Option<usize> {
        let within = self.limit.as_ref().and_then(|limit| {
            let mut room = limit.room(&self.snapshot);
            self.find(hash, |index| may(index) && room.is_left(index))
        });
        within.or_else(|| self.find(hash, may))
    }

    fn find(&self, hash: u64, mut will_do: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut route = self.membership.table.route(hash).take(STEPS);
        route.find(|&index| will_do(index)).or_else(|| {
            let identities = &self.membership.identities;
            rendezvous::best(hash, identities, self.snapshot.available(), will_do)
        })
    }
}

impl<T: Table> Picker for HashPicker<T> {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let hash = self
            .hash_on
            .hash(context)
            .unwrap_or_else(|| random.next_u64());
        if self.snapshot.has_ramps() {
            return self.pick_among_starting(hash, context);
        }
        self.find_within(hash, |index| self.may(index, context))
    }

    /// How many others the key wants more. Those beyond its route come after that, by rendezvous.
    fn score(&self, index: usize, context: &Context<'_>) -> Option<f64> {
        let hash = self.hash_on.hash(context)?;
        let mut before = Vec::new();
        for member in self.membership.table.route(hash).take(STEPS) {
            if member == index {
                return Some(before.len() as f64);
            }
            if !before.contains(&member) {
                before.push(member);
            }
        }
        let identity = self.membership.identities[index];
        let part = 1.0 / (1.0 + rendezvous::score(hash, identity));
        Some(before.len() as f64 + part)
    }
}

impl<T: Table> fmt::Debug for HashPicker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashPicker")
            .field("snapshot", &self.snapshot)
            .field("hash_on", &self.hash_on)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
