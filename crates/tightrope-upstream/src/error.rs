//! What can go wrong with a change and with a pick.

use std::time::Duration;

use crate::{EndpointId, Failed, Failure, Group};

/// Why a [`Change`](crate::Change) was refused. Nothing of it was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Two members would have the same id.
    #[error("endpoint `{id}` is there already")]
    Duplicate {
        /// The id.
        id: EndpointId,
    },
    /// A member that is to be changed is not there.
    #[error("there is no endpoint `{id}`")]
    UnknownEndpoint {
        /// The id.
        id: EndpointId,
    },
    /// The group that is to get the traffic has no member.
    #[error("no endpoint is in group `{group}`")]
    UnknownGroup {
        /// The group.
        group: Group,
    },
    /// Somebody else changed the upstream in between.
    #[error("the upstream is at generation {current}, not {expected}")]
    Stale {
        /// The generation that the change was made for.
        expected: u64,
        /// The generation of the upstream.
        current: u64,
    },
}

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// There is nobody to pick from.
    #[error("upstream has no endpoints")]
    Empty,
    /// All are unhealthy, ejected, draining, standing by or without weight.
    #[error("none of the {members} endpoints is available")]
    Unavailable {
        /// How many there are.
        members: usize,
    },
    /// Earlier attempts of the request went to all of those that are available.
    #[error("all {available} available endpoints were tried")]
    Exhausted {
        /// How many there are.
        available: usize,
    },
    /// All of those that are available have as many requests in flight as they may have.
    #[error("all {available} available endpoints are full")]
    Full {
        /// How many there are.
        available: usize,
    },
    /// All members together have as many requests in flight as they may have.
    #[error("the upstream has as many requests in flight as it may have")]
    UpstreamFull,
    /// All are full, and as many requests wait already as may wait.
    #[error("all endpoints are full and {waiting} requests wait already")]
    QueueFull {
        /// How many there are.
        waiting: usize,
    },
    /// The request waited for this long, and all endpoints were still full.
    #[error("no endpoint had room within {0:?}")]
    QueueTimeout(Duration),
}

/// Why an endpoint that was chosen cannot be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// An update took it out of service after the snapshot that it was chosen from; by then every
    /// [`Follower`](crate::Follower) was given a newer one: read that and choose again. This is what
    /// makes "no new request after the update was applied" exact.
    #[error("it is out of service")]
    Closed,
    /// It has as many attempts in flight as it may have, or is on trial and has one: choose somebody
    /// else, or wait until a place is [freed](crate::Upstream::freed).
    #[error("it has as many requests in flight as it may have")]
    Full,
    /// All members together have as many as they may have: see
    /// [`Change::limit_in_flight`](crate::Change::limit_in_flight).
    #[error("the upstream has as many requests in flight as it may have")]
    UpstreamFull,
}

impl Failed for PickError {
    fn failure(&self) -> Failure {
        Failure::Unavailable
    }
}
