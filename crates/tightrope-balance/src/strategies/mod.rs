//! The strategies, one a file.

mod alias;
mod arrivals;
mod draw;
pub mod envoy;
mod fail_open;
mod first_available;
pub mod haproxy;
mod hashing;
mod least_request;
pub mod nginx;
mod peak_ewma;
pub mod prequal;
mod round_robin;
mod schedule;
mod scope;
mod split;
mod stride;
mod weighted_random;

pub(crate) use self::{arrivals::Arrivals, round_robin::RoundRobinPicker};
pub use self::{
    fail_open::FailOpen,
    first_available::FirstAvailable,
    hashing::{Bounded, HashOn, Jump, Maglev, Rendezvous, RingHash},
    least_request::LeastRequest,
    peak_ewma::PeakEwma,
    prequal::Prequal,
    round_robin::RoundRobin,
    scope::{Aperture, Only, Subset},
    split::{Priorities, Zones},
    weighted_random::WeightedRandom,
};

use tightrope_upstream::Snapshot;

use crate::{Context, Random};

/// The available members that were not tried, in order.
fn in_order(snapshot: &Snapshot, context: &Context<'_>) -> impl Iterator<Item = usize> + Clone {
    let available = snapshot.available().iter().map(|&index| index as usize);
    available.filter(|&index| !context.has_tried(&snapshot.members()[index]))
}

/// An available member that was not tried, by weight, looking at all of them: what a retry falls
/// back to when its draws or turns keep hitting members that were tried.
fn untried(snapshot: &Snapshot, context: &Context<'_>, random: &mut Random) -> Option<usize> {
    let members = snapshot.members();
    let untried = || {
        in_order(snapshot, context).map(|index| (index, u64::from(members[index].weight().get())))
    };
    let mut left = random.below(untried().map(|(_, weight)| weight).sum());
    let mut in_order = untried();
    in_order.find_map(|(index, weight)| {
        let Some(rest) = left.checked_sub(weight) else {
            return Some(index);
        };
        left = rest;
        None
    })
}
