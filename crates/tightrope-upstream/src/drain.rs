//! What an update set in motion, and how it ends.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{Endpoint, EndpointId, record::Drained};

/// A published change: its generation, and what can be waited for.
///
/// Dropping it undoes nothing.
#[derive(Clone)]
pub struct Update {
    generation: u64,
    leaving: Vec<Arc<Endpoint>>,
    settled: watch::Receiver<u64>,
}

/// How the endpoints that an update took out of service were drained.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Those that still had attempts in flight when the deadline passed, and how many. If the
    /// deadline passed before the change was [applied](Update::applied): all of them, for until
    /// then more may come.
    pub remaining: Vec<(EndpointId, usize)>,
    /// Those that a later update put back into service, so that they need not be empty, and are not
    /// to be taken down.
    pub resumed: Vec<EndpointId>,
    /// How long it took, from the call.
    pub took: Duration,
}

// === impl Update ===

impl Update {
    pub(crate) const fn new(
        generation: u64,
        leaving: Vec<Arc<Endpoint>>,
        settled: watch::Receiver<u64>,
    ) -> Self {
        Self {
            generation,
            leaving,
            settled,
        }
    }

    /// The generation that the change was published as; the current one if it changed nothing.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The endpoints that the change took out of service.
    #[must_use]
    pub fn leaving(&self) -> &[Arc<Endpoint>] {
        &self.leaving
    }

    /// Whether every pick follows the change by now.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        *self.settled.borrow() >= self.generation
    }

    /// Resolves when every pick follows the change: from then on no request reaches an endpoint
    /// that it took out of service, but for those that were in flight already.
    ///
    /// It is so at once unless another writer is building pickers at the moment, who then builds
    /// the newest next.
    ///
    /// # Cancellation
    /// Dropping the future undoes nothing.
    pub async fn applied(&self) {
        let mut settled = self.settled.clone();
        // An error means that the upstream is gone, and every pick with it.
        let _gone = settled
            .wait_for(|&generation| generation >= self.generation)
            .await;
    }

    /// Resolves when nothing is in flight any more on the endpoints that the change took out of
    /// service, or `deadline` from now has passed. Covers response bodies, tunnels and streams:
    /// whatever holds its pick.
    ///
    /// # Panics
    /// Outside a tokio runtime with time, unless `deadline` is too long to ever pass.
    ///
    /// # Cancellation
    /// Dropping the future undoes nothing; it can be asked for again.
    pub async fn drained(&self, deadline: Duration) -> DrainReport {
        let begun = Instant::now();
        let until = begun.checked_add(deadline);
        let mut report = DrainReport {
            remaining: Vec::new(),
            resumed: Vec::new(),
            took: Duration::ZERO,
        };
        // Until the change is applied an endpoint may get picks, whatever it has now.
        let applied = within(until, self.applied()).await.is_some();
        for endpoint in &self.leaving {
            let (id, record) = (endpoint.id(), endpoint.record());
            let drained = match applied {
                true => within(until, record.drained()).await,
                false => None,
            };
            match drained {
                Some(Drained::Idle) => {}
                Some(Drained::Resumed) => report.resumed.push(id.clone()),
                None => report.remaining.push((id.clone(), record.in_flight())),
            }
        }
        report.took = begun.elapsed();
        report
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update")
            .field("generation", &self.generation)
            .field("leaving", &self.leaving.len())
            .field("applied", &self.is_applied())
            .finish()
    }
}

/// What `future` gives, unless `until` passes first. `None` for `until` is never.
async fn within<F: Future>(until: Option<Instant>, future: F) -> Option<F::Output> {
    match until {
        Some(until) => timeout_at(until, future).await.ok(),
        None => Some(future.await),
    }
}

// === impl DrainReport ===

impl DrainReport {
    /// Whether nothing was left when it ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.remaining.is_empty()
    }
}
