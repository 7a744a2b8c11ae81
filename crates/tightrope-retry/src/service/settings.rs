//! What all requests of a layer share.

use std::time::Duration;

use super::clock::Limits;
use crate::{Backoff, Budget, Hedge, RetryOn};

/// What a [`RetryLayer`](super::RetryLayer) was told.
#[derive(Clone, Debug)]
pub(super) struct Settings<P> {
    pub(super) attempts: usize,
    pub(super) policy: P,
    pub(super) body_limit: usize,
    /// None: as many retries as the attempts allow.
    pub(super) budget: Option<Budget>,
    /// None: the next attempt is made at once.
    pub(super) backoff: Option<Backoff>,
    /// The longest wait that an endpoint may ask for.
    pub(super) retry_after: Duration,
    pub(super) hedge: Option<Hedge>,
    pub(super) limits: Limits,
    pub(super) heads: Heads,
}

/// Where the head for a further attempt comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heads {
    Copied,
    /// By the service inside.
    Returned,
}

impl Default for Settings<RetryOn> {
    fn default() -> Self {
        Self {
            // Enough to pass two endpoints that died, few enough that a dead upstream is told of soon.
            attempts: 3,
            policy: RetryOn::default(),
            // What linkerd keeps.
            body_limit: 64 * 1024,
            budget: Some(Budget::default()),
            backoff: None,
            retry_after: Duration::from_secs(1),
            hedge: None,
            limits: Limits::default(),
            heads: Heads::Copied,
        }
    }
}

impl<P> Settings<P> {
    pub(super) fn deposit(&self) {
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
    }

    /// Whether a copy is made of a head before it is sent: of two that are under way neither came back.
    pub(super) fn copies_heads(&self) -> bool {
        self.heads == Heads::Copied || self.hedge.is_some()
    }

    /// Whether there may be another retry, which is then paid for.
    pub(super) fn withdraw(&self) -> bool {
        self.budget.as_ref().is_none_or(Budget::withdraw)
    }

    /// That one came to nothing.
    pub(super) fn refund(&self) {
        if let Some(budget) = &self.budget {
            budget.give_back();
        }
    }
}
