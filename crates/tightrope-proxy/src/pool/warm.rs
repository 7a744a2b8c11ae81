//! Connections that are there before they are asked for.

use std::{sync::Arc, time::Duration};

use tightrope_upstream::{Availability, Endpoint, Upstream};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tracing::Instrument;

use super::{
    Entry, Open, Pool,
    connect::{Made, connect},
};
use crate::forward::Shared;

/// Keeps connections to the available members of an upstream open, for a [`Forward`](crate::Forward): see
/// [`Forward::keep_warm`](crate::Forward::keep_warm). Dropping it ends that; what is open stays until it is idle
/// for too long.
#[derive(Debug)]
#[must_use = "dropping it ends it"]
pub struct KeepWarm {
    task: JoinHandle<()>,
}

/// How often it is looked whether enough are left.
const TICK: Duration = Duration::from_secs(1);

impl KeepWarm {
    pub(crate) fn spawn(shared: &Arc<Shared>, upstream: &Upstream, count: usize) -> Self {
        let (shared, upstream) = (Arc::downgrade(shared), upstream.clone());
        let task = async move {
            let mut events = upstream.events();
            while let Some(shared) = shared.upgrade() {
                let snapshot = upstream.snapshot();
                let mut making = JoinSet::new();
                for (endpoint, availability) in
                    snapshot.members().iter().zip(snapshot.availability())
                {
                    if *availability == Availability::Available {
                        making.spawn(shared.pool.warm(endpoint, count));
                    }
                }
                drop(shared);
                while making.join_next().await.is_some() {}
                // Whatever happened, it is looked at again.
                if let Ok(Ok(None)) = timeout(TICK, events.next()).await {
                    return;
                }
            }
        };
        Self {
            task: tokio::spawn(task.in_current_span()),
        }
    }
}

impl Drop for KeepWarm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pool {
    /// Makes as many connections to `endpoint` as are missing from `count`, one after the other.
    fn warm(&self, endpoint: &Endpoint, count: usize) -> impl Future<Output = ()> + use<> {
        let entry = self.entry(endpoint);
        let count = count.min(self.config.pool_max_connections);
        async move {
            while let Some(open) = entry.reserve(count) {
                // Who takes a request that fails says why; this one tries again later.
                if entry.make_ahead(open).await.is_none() {
                    return;
                }
            }
        }
    }
}

impl Entry {
    /// Counts one more connection, if there are less than `count`.
    fn reserve(self: &Arc<Self>, count: usize) -> Option<Open> {
        let mut state = self.lock();
        state.prune(self.config.pool_max_age);
        (state.open < count).then(|| {
            state.open += 1;
            Open::new(Arc::clone(self))
        })
    }

    async fn make_ahead(self: &Arc<Self>, open: Open) -> Option<()> {
        let made = connect(&self.address, self.config.protocol, None, &self.config).await;
        let made: Made = made.ok()?;
        let mut state = self.lock();
        self.admit(&mut state, made);
        open.kept();
        self.wake(&state);
        Some(())
    }
}
