//! What observers are told.

use std::num::NonZeroU32;

use tokio::sync::broadcast;

use crate::{Admin, Ejection, EndpointId, Group, Health, Reason};

/// Something that a change did to an upstream.
///
/// Told is what a change comes to, not how it was written: who joined or is described differently,
/// in order of the new members; who left, in order of the old ones; the verdicts, in the order in
/// which the change made them; and last, who gets the traffic, and how much of it. Members that only move tell nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The generation that the change was published as.
    pub generation: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A member joined.
    Added {
        /// Who.
        endpoint: EndpointId,
    },
    /// A member left.
    Removed {
        /// Who.
        endpoint: EndpointId,
    },
    /// A member's address, weight, group, limit or metadata changed.
    Changed {
        /// Who.
        endpoint: EndpointId,
    },
    /// A member began to drain or was put back into service.
    Admin {
        /// Who.
        endpoint: EndpointId,
        /// What it is now.
        admin: Admin,
        /// Why.
        reason: Reason,
    },
    /// Probes changed their verdict.
    Health {
        /// On whom.
        endpoint: EndpointId,
        /// What it is now.
        health: Health,
        /// Why.
        reason: Reason,
    },
    /// Live traffic changed its verdict.
    Ejection {
        /// On whom.
        endpoint: EndpointId,
        /// What it is now.
        ejection: Ejection,
        /// Why.
        reason: Reason,
    },
    /// Another group, or everybody, gets the traffic.
    Activated {
        /// The group; `None` is everybody.
        group: Option<Group>,
    },
    /// There is another limit on the attempts in flight on all members together, or none.
    Limited {
        /// The limit.
        max_in_flight: Option<NonZeroU32>,
    },
}

/// A stream of [`Event`]s, from the moment it was asked for.
///
/// A slow observer never holds up a writer: it misses the oldest events and is told how many.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

/// This many events were dropped because the observer was too slow. What is true now is in the
/// snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("missed {count} events")]
pub struct Missed {
    /// How many.
    pub count: u64,
}

impl Events {
    /// How many events wait for an observer before it misses some.
    pub const CAPACITY: usize = 1024;

    pub(crate) const fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self { receiver }
    }

    /// The next event; `None` once the upstream is gone.
    ///
    /// # Errors
    /// Some events were missed. The stream goes on with the oldest that is still there.
    ///
    /// # Cancellation
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Result<Option<Event>, Missed> {
        match self.receiver.recv().await {
            Ok(event) => Ok(Some(event)),
            Err(broadcast::error::RecvError::Closed) => Ok(None),
            Err(broadcast::error::RecvError::Lagged(count)) => Err(Missed { count }),
        }
    }
}
