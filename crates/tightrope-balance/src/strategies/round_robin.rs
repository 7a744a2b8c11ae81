//! In turn, by weight.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tightrope_upstream::Snapshot;

use super::{schedule::smooth, stride::Stride, untried};
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
/// send everybody to the first endpoint again. Retries have turns of their own: an endpoint that
/// fails every time does not shift the turns of first attempts, and its share is spread over the
/// others by their weights. Clones share their turns.
///
/// Source: `ngx_http_upstream_round_robin.c` of nginx, as described by its author in commit
/// 52327e0627f4 (2012).
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    tickets: Arc<Tickets>,
}

/// The turns that were taken.
#[derive(Debug, Default)]
struct Tickets {
    first: AtomicU64,
    retry: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct RoundRobinPicker {
    snapshot: Arc<Snapshot>,
    turns: Turns,
    tickets: Arc<Tickets>,
}

#[derive(Debug)]
enum Turns {
    /// Nobody is available.
    None,
    /// Positions among the available.
    Table(Box<[u32]>),
    Stride(Stride),
}

/// How many turns a retry takes to find somebody whom it did not try.
const TURNS: usize = 8;

impl RoundRobin {
    /// From the first turn of the sequence on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From a turn of the sequence that `random` gives, so that a fleet of balancers that start
    /// together does not march in step from endpoint to endpoint.
    ///
    /// ```
    /// use tightrope_balance::{Random, RoundRobin};
    ///
    /// let strategy = RoundRobin::from_rng(&mut Random::from_os());
    /// ```
    #[must_use]
    pub fn from_rng(random: &mut Random) -> Self {
        let strategy = Self::new();
        // Far from where the count comes round. Relaxed: nobody else has it yet.
        let turn = random.next_u64() >> 1;
        strategy.tickets.first.store(turn, Ordering::Relaxed);
        strategy
    }

    pub(crate) fn picker(&self, snapshot: &Arc<Snapshot>) -> RoundRobinPicker {
        let weights: Vec<u32> = snapshot
            .available()
            .iter()
            .map(|&index| snapshot.members()[index as usize].weight().get())
            .collect();
        match smooth(&weights) {
            Some(slots) => self.taking(snapshot, Turns::Table(slots)),
            None => self.weighted_picker(snapshot, &weights),
        }
    }

    /// Without a table, by these weights of the available.
    pub(crate) fn weighted_picker(
        &self,
        snapshot: &Arc<Snapshot>,
        weights: &[u32],
    ) -> RoundRobinPicker {
        let turns = Stride::new(weights).map_or(Turns::None, Turns::Stride);
        self.taking(snapshot, turns)
    }

    fn taking(&self, snapshot: &Arc<Snapshot>, turns: Turns) -> RoundRobinPicker {
        RoundRobinPicker {
            snapshot: Arc::clone(snapshot),
            turns,
            tickets: Arc::clone(&self.tickets),
        }
    }
}

impl Strategy for RoundRobin {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        Box::new(self.picker(&snapshot.ramped()))
    }
}

impl RoundRobinPicker {
    #[inline]
    fn turn(&self, ticket: &AtomicU64) -> Option<usize> {
        let position = match &self.turns {
            Turns::None => return None,
            Turns::Table(slots) => {
                // Relaxed: the turn orders nothing but itself.
                let ticket = ticket.fetch_add(1, Ordering::Relaxed);
                slots[(ticket % slots.len() as u64) as usize] as usize
            }
            Turns::Stride(stride) => stride.next(ticket),
        };
        Some(self.snapshot.available()[position] as usize)
    }

    #[inline]
    fn pick_by(
        &self,
        tickets: &Tickets,
        context: &Context<'_>,
        random: &mut Random,
    ) -> Option<usize> {
        if !context.is_retry() {
            return self.turn(&tickets.first);
        }
        self.retry_by(tickets, context, random)
    }

    #[cold]
    fn retry_by(
        &self,
        tickets: &Tickets,
        context: &Context<'_>,
        random: &mut Random,
    ) -> Option<usize> {
        let members = self.snapshot.members();
        (0..TURNS)
            .map_while(|_| self.turn(&tickets.retry))
            .find(|&index| !context.has_tried(&members[index]))
            .or_else(|| untried(&self.snapshot, context, random))
    }
}

impl Picker for RoundRobinPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        if context.is_dry_run() {
            let copy = self.tickets.copied();
            return self.pick_by(&copy, context, random);
        }
        self.pick_by(&self.tickets, context, random)
    }
}

// === impl Tickets ===

impl Tickets {
    fn copied(&self) -> Self {
        let copied = |ticket: &AtomicU64| AtomicU64::new(ticket.load(Ordering::Relaxed));
        Self {
            first: copied(&self.first),
            retry: copied(&self.retry),
        }
    }
}
