//! The strategies, one a file.

mod alias;
mod fail_open;
mod least_request;
pub mod nginx;
mod round_robin;
mod schedule;
mod stride;
mod weighted_random;

pub use self::{
    fail_open::FailOpen, least_request::LeastRequest, round_robin::RoundRobin,
    weighted_random::WeightedRandom,
};

use tightrope_upstream::Snapshot;

use crate::Context;

/// The first available member that was not tried, looking from the `start`-th available on: what a
/// retry falls back to when draws keep hitting endpoints that were tried.
fn untried_from(snapshot: &Snapshot, context: &Context<'_>, start: usize) -> Option<usize> {
    let (members, available) = (snapshot.members(), snapshot.available());
    let (before, after) = available.split_at(start.checked_rem(available.len()).unwrap_or(0));
    let mut in_turn = after.iter().chain(before).map(|&index| index as usize);
    in_turn.find(|&index| !context.has_tried(&members[index]))
}
