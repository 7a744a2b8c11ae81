//! Draws by weight among those who may be picked.

use std::sync::Arc;

use tightrope_upstream::{Endpoint, Snapshot};

use super::{alias::Alias, untried};
use crate::{Context, Random};

/// How many draws one is worth that hits somebody who will do.
const REDRAWS: usize = 8;

/// A few members that were drawn.
pub(super) struct Drawn {
    indices: [u32; Draw::MOST],
    count: usize,
}

/// Draws available members that were not tried, by weight.
#[derive(Debug)]
pub(super) struct Draw {
    snapshot: Arc<Snapshot>,
    table: Alias,
}

// === impl Draw ===

impl Draw {
    /// The most that are drawn for one pick.
    pub(super) const MOST: usize = 16;

    /// From the available of `snapshot`; `None` where there are none.
    pub(super) fn new(snapshot: &Arc<Snapshot>) -> Option<Self> {
        let (members, available) = (snapshot.members(), snapshot.available());
        let weights = available
            .iter()
            .map(|&index| members[index as usize].weight().get());
        Alias::new(weights).map(|table| Self {
            snapshot: Arc::clone(snapshot),
            table,
        })
    }

    pub(super) const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The index of one, if there is one.
    pub(super) fn one(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        self.one_of(REDRAWS, context, random, |_| true)
            .or_else(|| untried(&self.snapshot, context, random))
    }

    /// The index of the first of so many draws whom `is_wanted` says yes to.
    pub(super) fn one_of(
        &self,
        draws: usize,
        context: &Context<'_>,
        random: &mut Random,
        is_wanted: impl Fn(&Endpoint) -> bool,
    ) -> Option<usize> {
        let (members, available) = (self.snapshot.members(), self.snapshot.available());
        (0..draws)
            .map(|_| available[self.table.draw(random)] as usize)
            .find(|&index| !context.has_tried(&members[index]) && is_wanted(&members[index]))
    }

    /// As [`some`](Self::some) for two and a first attempt, in half the time; `None` for a retry.
    #[inline(always)] // a call costs as much as a draw
    pub(super) fn two(&self, context: &Context<'_>, random: &mut Random) -> Option<[usize; 2]> {
        if context.is_retry() {
            return None;
        }
        let available = self.snapshot.available();
        let one = available[self.table.draw(random)];
        let mut other = available[self.table.draw(random)];
        if other == one {
            other = self.other_than(one, context, random)?;
        }
        Some([one as usize, other as usize])
    }

    #[cold]
    fn other_than(&self, one: u32, context: &Context<'_>, random: &mut Random) -> Option<u32> {
        let available = self.snapshot.available();
        (0..REDRAWS)
            .map(|_| available[self.table.draw(random)])
            .find(|&other| other != one)
            .or_else(|| self.another(&Drawn::of(one), context, random))
    }

    /// The indices of `choices` distinct ones, or of as many as there are.
    #[inline(never)]
    pub(super) fn some(&self, choices: usize, context: &Context<'_>, random: &mut Random) -> Drawn {
        let mut drawn = Drawn::none();
        let choices = choices.min(Self::MOST);
        let available = self.snapshot.available();
        for _ in 0..choices * REDRAWS {
            let index = available[self.table.draw(random)];
            if self.will_do(index, &drawn, context) {
                drawn.push(index);
                if drawn.count == choices {
                    return drawn;
                }
            }
        }
        while drawn.count < choices {
            match self.another(&drawn, context, random) {
                Some(index) => drawn.push(index),
                None => break,
            }
        }
        drawn
    }

    /// The index of one that is not among `drawn`, if there is one, where draws by weight hit none.
    fn another(&self, drawn: &Drawn, context: &Context<'_>, random: &mut Random) -> Option<u32> {
        if drawn.count == 0 {
            return untried(&self.snapshot, context, random).map(|index| index as u32);
        }
        // One weight dwarfs the others: any of those that are left. To start at a random place
        // and go on from there would favour who stands behind those that will not do.
        let available = self.snapshot.available();
        (0..REDRAWS)
            .map(|_| available[random.index(available.len())])
            .find(|&index| self.will_do(index, drawn, context))
            .or_else(|| {
                let (before, after) = available.split_at(random.index(available.len()));
                let mut in_turn = after.iter().chain(before).copied();
                in_turn.find(|&index| self.will_do(index, drawn, context))
            })
    }

    #[inline]
    fn will_do(&self, index: u32, drawn: &Drawn, context: &Context<'_>) -> bool {
        let member = &self.snapshot.members()[index as usize];
        !drawn.contains(index) && !context.has_tried(member)
    }
}

// === impl Drawn ===

impl Drawn {
    const fn none() -> Self {
        Self {
            indices: [0; Draw::MOST],
            count: 0,
        }
    }

    fn of(index: u32) -> Self {
        let mut drawn = Self::none();
        drawn.push(index);
        drawn
    }

    fn push(&mut self, index: u32) {
        self.indices[self.count] = index;
        self.count += 1;
    }

    #[inline]
    fn contains(&self, index: u32) -> bool {
        self.indices[..self.count].contains(&index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + Clone {
        let drawn = self.indices[..self.count].iter();
        drawn.map(|&index| index as usize)
    }
}
