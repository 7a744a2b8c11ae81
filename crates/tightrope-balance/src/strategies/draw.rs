//! Draws by weight among those who may be picked.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::{alias::Alias, untried};
use crate::{Context, Random};

/// How often a draw that hits somebody who will not do is made anew.
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
        self.redrawn(&[], context, random)
            .or_else(|| untried(&self.snapshot, context, random))
    }

    /// The indices of `choices` distinct ones, or of as many as there are.
    pub(super) fn some(&self, choices: usize, context: &Context<'_>, random: &mut Random) -> Drawn {
        let mut drawn = Drawn {
            indices: [0; Self::MOST],
            count: 0,
        };
        let mut next = self.one(context, random);
        while let Some(index) = next {
            drawn.indices[drawn.count] = index as u32;
            drawn.count += 1;
            if drawn.count >= choices.min(Self::MOST) {
                break;
            }
            next = self.another(&drawn.indices[..drawn.count], context, random);
        }
        drawn
    }

    /// The index of one that is not among `drawn`, if there is one.
    fn another(&self, drawn: &[u32], context: &Context<'_>, random: &mut Random) -> Option<usize> {
        self.redrawn(drawn, context, random).or_else(|| {
            // One weight dwarfs the others: any of those that are left. To start at a random place
            // and go on from there would favour who stands behind those that will not do.
            let available = self.snapshot.available();
            (0..REDRAWS)
                .map(|_| available[random.index(available.len())] as usize)
                .find(|&index| self.will_do(index, drawn, context))
                .or_else(|| {
                    let (before, after) = available.split_at(random.index(available.len()));
                    let mut in_turn = after.iter().chain(before).map(|&index| index as usize);
                    in_turn.find(|&index| self.will_do(index, drawn, context))
                })
        })
    }

    fn redrawn(&self, drawn: &[u32], context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let available = self.snapshot.available();
        (0..REDRAWS)
            .map(|_| available[self.table.draw(random)] as usize)
            .find(|&index| self.will_do(index, drawn, context))
    }

    fn will_do(&self, index: usize, drawn: &[u32], context: &Context<'_>) -> bool {
        !drawn.contains(&(index as u32)) && !context.has_tried(&self.snapshot.members()[index])
    }
}

// === impl Drawn ===

impl Drawn {
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + Clone {
        let drawn = self.indices[..self.count].iter();
        drawn.map(|&index| index as usize)
    }
}
