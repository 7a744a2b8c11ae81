//! The hash space of nginx: every member has as many places as its weight, available or not.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use crate::{Context, Picker, Random, strategies::round_robin::RoundRobinPicker};

/// How often a hash that hits somebody unavailable is made anew before turns decide.
const TRIES: usize = 20;

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

    /// The first of the `hashes` whose place belongs to somebody available and not tried before;
    /// by turns if 21 of them miss, or there are none.
    pub(super) fn find(
        &self,
        hashes: impl Iterator<Item = u32>,
        context: &Context<'_>,
        random: &mut Random,
    ) -> Option<usize> {
        let total = self.ends.last().copied().filter(|&total| total > 0)?;
        for hash in hashes.take(TRIES + 1) {
            let place = u64::from(hash) % total;
            let candidate = self.ends.partition_point(|&end| end <= place);
            let index = self.snapshot.candidates()[candidate] as usize;
            if self.snapshot.availability()[index].is_available()
                && !context.has_tried(&self.snapshot.members()[index])
            {
                return Some(index);
            }
        }
        self.turns.pick(context, random)
    }
}
