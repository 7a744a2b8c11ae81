//! To the one with the fewest requests in flight.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use tightrope_upstream::Snapshot;

use super::random::Load;
use crate::{Context, Picker, Random, Strategy, strategies::in_order};

/// nginx's `least_conn`: to the endpoint with the fewest requests in flight for its weight.
///
/// Those that are level take turns by weight, smoothly, and only they do. The request that is about
/// to be sent does not count, so all idle ones are level whatever their weights. A look at every
/// available endpoint for each pick, twice where several are level; 16 bytes an endpoint.
///
/// The order is exactly nginx's while picks do not overlap; picks at the same instant share their
/// turns without a lock, and may swap them. Where nothing has to match nginx, choose
/// [`LeastRequest`](crate::LeastRequest): many balancers that do not see each other's requests all
/// run to the same endpoint here. Source: `least_conn` of nginx 1.22.1.
#[derive(Debug, Default)]
pub struct LeastConn {
    turns: Arc<Turns>,
    layout: u64,
}

/// The current value of each member in smooth weighted round robin.
#[derive(Debug, Default)]
struct Turns(Box<[Turn]>);

#[derive(Debug)]
struct Turn {
    /// Whose it is: the serial of its record.
    serial: u64,
    current: AtomicI64,
}

#[derive(Debug)]
struct LeastConnPicker {
    snapshot: Arc<Snapshot>,
    turns: Arc<Turns>,
}

// === impl LeastConn ===

impl LeastConn {
    /// The strategy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Strategy for LeastConn {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        if self.layout != snapshot.layout_generation() {
            self.layout = snapshot.layout_generation();
            self.turns = Arc::new(self.turns.of(snapshot));
        }
        Box::new(LeastConnPicker {
            snapshot: snapshot.ramped(),
            turns: Arc::clone(&self.turns),
        })
    }
}

// === impl Turns ===

impl Turns {
    /// Those of the members of `snapshot`, who keep what they have.
    fn of(&self, snapshot: &Snapshot) -> Self {
        let old = self.0.iter().map(|turn| {
            // Relaxed, here and below: the turns order nothing but themselves.
            (turn.serial, turn.current.load(Ordering::Relaxed))
        });
        let old: HashMap<u64, i64> = old.collect();
        let members = snapshot.members().iter().map(|member| {
            let serial = member.record().serial();
            Turn {
                serial,
                current: AtomicI64::new(old.get(&serial).copied().unwrap_or_default()),
            }
        });
        Self(members.collect())
    }
}

// === impl LeastConnPicker ===

impl LeastConnPicker {
    /// The available who were not tried, with their load.
    fn loads(&self, context: &Context<'_>) -> impl Iterator<Item = (usize, Load)> {
        let members = self.snapshot.members();
        in_order(&self.snapshot, context).map(|index| (index, Load::of(&members[index])))
    }

    /// One step of smooth weighted round robin among those whose load is `least`.
    fn turn(&self, least: Load, context: &Context<'_>) -> Option<usize> {
        let (mut first, mut total): (Option<(usize, i64)>, _) = (None, 0);
        for (index, load) in self.loads(context) {
            if load.exceeds(least) || least.exceeds(load) {
                continue;
            }
            let weight = i64::from(self.snapshot.members()[index].weight().get());
            let current = &self.turns.0[index].current;
            let current = if context.is_dry_run() {
                current.load(Ordering::Relaxed) + weight
            } else {
                current.fetch_add(weight, Ordering::Relaxed) + weight
            };
            total += weight;
            if first.is_none_or(|(_, most)| current > most) {
                first = Some((index, current));
            }
        }
        let (index, _) = first?;
        if !context.is_dry_run() {
            let current = &self.turns.0[index].current;
            current.fetch_sub(total, Ordering::Relaxed);
        }
        Some(index)
    }
}

impl Picker for LeastConnPicker {
    fn pick(&self, context: &Context<'_>, _: &mut Random) -> Option<usize> {
        let mut least: Option<(usize, Load)> = None;
        let mut alone = true;
        for (index, load) in self.loads(context) {
            match least {
                Some((_, least)) if load.exceeds(least) => {}
                Some((_, least)) if !least.exceeds(load) => alone = false,
                _ => {
                    least = Some((index, load));
                    alone = true;
                }
            }
        }
        let (index, least) = least?;
        let turn = if alone {
            None
        } else {
            self.turn(least, context)
        };
        // Those that were level may be busier by now.
        Some(turn.unwrap_or(index))
    }

    fn score(&self, index: usize, _: &Context<'_>) -> Option<f64> {
        Some(Load::of(&self.snapshot.members()[index]).score())
    }
}
