//! Chooses by the reports.

use std::sync::Arc;

use super::{
    super::least_request,
    pool::{FEWEST, Pool, Rank},
    shared::Shared,
    targets::Targets,
};
use crate::{Context, Picker, Random};

#[derive(Debug)]
pub(super) struct PrequalPicker {
    pub(super) shared: Arc<Shared>,
    /// None where nobody is available.
    pub(super) targets: Option<Arc<Targets>>,
}

/// How often a pick that lost the last use of a report to another chooses again.
const RACES: usize = 4;

impl PrequalPicker {
    /// The best of those whom `pool` tells of, if these are enough.
    fn reported(&self, targets: &Targets, pool: &Pool, context: &Context<'_>) -> Option<usize> {
        if pool.reports.len() < FEWEST {
            return None;
        }
        let now = context.now();
        for _ in 0..RACES {
            let mut usable = 0;
            let mut best: Option<(&_, usize, Rank)> = None;
            for held in &pool.reports {
                if !held.is_left() || !held.is_fresh(now) {
                    continue;
                }
                let Some(index) = targets.find(held.serial) else {
                    continue;
                };
                let endpoint = targets.endpoint(index);
                if context.has_tried(endpoint) {
                    continue;
                }
                usable += 1;
                let rank = held.rank(endpoint, pool.scale);
                if best.is_none_or(|(_, _, least)| rank.order(&least).is_lt()) {
                    best = Some((held, index, rank));
                }
            }
            let (held, index, _) = best.filter(|_| usable >= FEWEST)?;
            if context.is_dry_run() || held.take() {
                return Some(index);
            }
        }
        None
    }
}

impl Picker for PrequalPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let targets = self.targets.as_deref()?;
        if !context.is_dry_run() {
            self.shared.picked();
        }
        self.reported(targets, &self.shared.pool(), context)
            .or_else(|| least_request::least_busy(targets.draw(), 2, context, random))
    }

    /// Of those whom a report tells of.
    fn score(&self, index: usize, context: &Context<'_>) -> Option<f64> {
        let targets = self.targets.as_deref()?;
        let (pool, now) = (self.shared.pool(), context.now());
        let held = pool
            .reports
            .iter()
            .find(|held| targets.find(held.serial) == Some(index))?;
        let rank = held.rank(targets.endpoint(index), pool.scale);
        (held.is_left() && held.is_fresh(now)).then(|| rank.score())
    }
}
