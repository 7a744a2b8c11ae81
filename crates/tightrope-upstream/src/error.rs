//! What can go wrong with a change and with a pick.

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
}

impl Failed for PickError {
    fn failure(&self) -> Failure {
        Failure::Unavailable
    }
}
