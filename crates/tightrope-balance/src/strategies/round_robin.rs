//! In turn, by weight.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tightrope_upstream::Snapshot;

use super::{schedule::smooth, stride::Stride, untried_from};
use crate::{Context, Picker, Random, Strategy};

/// Smooth weighted round robin: in turn, each as often as its weight says, evenly interleaved.
///
/// The sequence is exactly nginx's. With equal weights it is a plain rotation. It knows nothing of
/// how busy an endpoint is: choose [`LeastRequest`](crate::LeastRequest) where requests differ
/// in cost or endpoints in speed.
///
/// The sequence is worked out in advance over the endpoints that are available, so a pick is one
/// counter and one look into a table, in constant time and without a lock; 4 bytes for each slot
/// of one period (the sum of the weights over their greatest common divisor). Where a period has
/// more than 1,048,576 slots, or takes too long to work out, weighted turns without a table take
/// its place (gRPC's static stride): the same shares, less evenly interleaved.
///
/// When somebody joins or leaves, the turn goes on from where it was, so that a change does not
/// send everybody to the first endpoint again.
///
/// Source: `ngx_http_upstream_round_robin.c` of nginx, as described by its author in commit
/// 52327e0627f4 (2012).
#[derive(Debug, Default)]
pub struct RoundRobin {
    ticket: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(crate) struct RoundRobinPicker {
    snapshot: Arc<Snapshot>,
    turns: Turns,
    ticket: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Turns {
    /// Nobody is available.
    None,
    /// Positions among the available.
    Table(Box<[u32]>),
    Stride(Stride),
}

impl RoundRobin {
    /// From the first turn of the sequence on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn picker(&self, snapshot: &Arc<Snapshot>) -> RoundRobinPicker {
        let weights: Vec<u32> = snapshot
            .available()
            .iter()
            .map(|&index| snapshot.members()[index as usize].weight().get())
            .collect();
        let turns = smooth(&weights)
            .map(Turns::Table)
            .or_else(|| Stride::new(&weights).map(Turns::Stride))
            .unwrap_or(Turns::None);
        RoundRobinPicker {
            snapshot: Arc::clone(snapshot),
            turns,
            ticket: Arc::clone(&self.ticket),
        }
    }
}

impl Strategy for RoundRobin {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        Box::new(self.picker(snapshot))
    }
}

impl Picker for RoundRobinPicker {
    fn pick(&self, context: &Context<'_>, _: &mut Random) -> Option<usize> {
        let position = match &self.turns {
            Turns::None => return None,
            Turns::Table(slots) => {
                // Relaxed: the turn orders nothing but itself.
                let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
                slots[(ticket % slots.len() as u64) as usize] as usize
            }
            Turns::Stride(stride) => stride.next(&self.ticket),
        };
        let index = self.snapshot.available()[position] as usize;
        if context.has_tried(&self.snapshot.members()[index]) {
            return untried_from(&self.snapshot, context, position + 1);
        }
        Some(index)
    }
}
