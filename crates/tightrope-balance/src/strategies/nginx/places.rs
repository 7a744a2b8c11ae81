//! The hash space of nginx: every member has as many places as its weight, available or not.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use crate::{Context, Picker, Random, strategies::round_robin::RoundRobinPicker};

/// How often a hash or draw that hits somebody unavailable is made anew before turns decide.
pub(super) const TRIES: usize = 20;

/// The members of the active group, each with as many places as its weight.
#[derive(Debug)]
pub(super) struct Places {
    snapshot: Arc<Snapshot>,
    /// Where the places of each candidate end.
    ends: Box<[u64]>,
    /// For requests whose hashes hit nobody.
    turns: RoundRobinPicker,
}

impl Places {
    pub(super) fn new(snapshot: &Arc<Snapshot>, turns: RoundRobinPicker) -> Self {
        let mut end = 0;
        let ends = snapshot.candidates().iter().map(|&index| {
            end += u64::from(snapshot.members()[index as usize].weight().get());
            end
        });
        Self {
            ends: ends.collect(),
            snapshot: Arc::clone(snapshot),
            turns,
        }
    }

    pub(super) const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The first of the `hashes` whose place belongs to somebody available and not tried before;
    /// by turns if 21 of them miss, or there are none.
    pub(super) fn find(
        &self,
        hashes: impl Iterator<Item = u32>,
        context: &Context<'_>,
        random: &mut Random,
    ) -> Option<usize> {
        let total = self.total()?;
        hashes
            .take(TRIES + 1)
            .map(|hash| self.at(u64::from(hash) % total))
            .find(|&index| self.will_do(index, context))
            .or_else(|| self.turn(context, random))
    }

    /// How many places there are; `None` for none.
    pub(super) fn total(&self) -> Option<u64> {
        self.ends.last().copied().filter(|&total| total > 0)
    }

    /// The member that has a place.
    pub(super) fn at(&self, place: u64) -> usize {
        let candidate = self.ends.partition_point(|&end| end <= place);
        self.snapshot.candidates()[candidate] as usize
    }

    /// Whether a member is available and was not tried before.
    pub(super) fn will_do(&self, index: usize, context: &Context<'_>) -> bool {
        self.snapshot.availability()[index].is_available()
            && !context.has_tried(&self.snapshot.members()[index])
    }

    /// Whose turn it is.
    pub(super) fn turn(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        self.turns.pick(context, random)
    }
}
