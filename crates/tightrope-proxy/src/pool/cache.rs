//! Idle connections of HTTP/1.1.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tightrope_upstream::{Address, Endpoint, Record};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::h1::Connection;

/// The idle connections to all endpoints, the one used last taken first.
///
/// A connection is put back when its request was written and its response read, and is taken only if nothing came
/// since, not even its end.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    idle_timeout: Duration,
    max_idle: usize,
}

#[derive(Debug, Default)]
struct State {
    /// By the serial of the record of the endpoint.
    idle: BTreeMap<u64, Idle>,
    reaper: Option<Reaper>,
}

/// The idle connections to one endpoint, in the order in which they were put back.
#[derive(Debug)]
struct Idle {
    record: Weak<Record>,
    /// Where they lead: an update may change the address of an endpoint.
    address: Address,
    connections: Vec<(Box<Connection>, Instant)>,
}

/// The task that closes what is idle for too long; dropping it ends the task.
#[derive(Debug)]
struct Reaper(JoinHandle<()>);

/// How often the reaper looks for connections to endpoints that are gone.
const TICK: Duration = Duration::from_secs(1);

// === impl Pool ===

impl Pool {
    pub(crate) fn new(idle_timeout: Duration, max_idle: usize) -> Self {
        Self {
            state: Mutex::default(),
            idle_timeout,
            max_idle,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is ready for a request.
    pub(crate) fn take(&self, endpoint: &Endpoint) -> Option<Box<Connection>> {
        let mut state = self.lock();
        let idle = state.idle.get_mut(&endpoint.record().serial())?;
        if idle.address != *endpoint.address() {
            return None;
        }
        // Nearly always the first.
        while let Some((mut connection, _)) = idle.connections.pop() {
            if connection.is_idle() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose response ended, for the next request. Must be called within a
    /// runtime, for the task that closes it should none come.
    pub(crate) fn put(self: &Arc<Self>, endpoint: &Endpoint, mut connection: Box<Connection>) {
        if self.max_idle == 0 || self.idle_timeout.is_zero() {
            return;
        }
        connection.rest();
        let mut state = self.lock();
        let serial = endpoint.record().serial();
        let idle = state.idle.entry(serial).or_insert_with(|| Idle {
            record: Arc::downgrade(endpoint.record()),
            address: endpoint.address().clone(),
            connections: Vec::new(),
        });
        let mut excess = Vec::new();
        if idle.address != *endpoint.address() {
            idle.address = endpoint.address().clone();
            excess.append(&mut idle.connections);
        } else if idle.connections.len() >= self.max_idle {
            excess.push(idle.connections.remove(0));
        }
        idle.connections.push((connection, Instant::now()));
        // A task that ended without saying so went down with its runtime.
        if state.reaper.as_ref().is_none_or(Reaper::is_finished) {
            state.reaper = Some(Reaper::spawn(Arc::downgrade(self), self.tick()));
        }
        drop(state);
        drop(excess);
    }

    fn tick(&self) -> Duration {
        self.idle_timeout.min(TICK)
    }

    /// Closes what is idle for too long or leads nowhere; returns when to look again, if ever.
    fn sweep(&self) -> Option<Duration> {
        let mut state = self.lock();
        let mut next = self.tick();
        state.idle.retain(|_, idle| {
            if idle.record.strong_count() == 0 {
                return false;
            }
            idle.connections.retain_mut(|(connection, since)| {
                let left = self.idle_timeout.saturating_sub(since.elapsed());
                let keep = !left.is_zero() && connection.is_idle();
                if keep {
                    next = next.min(left);
                }
                keep
            });
            !idle.connections.is_empty()
        });
        if state.idle.is_empty() {
            state.reaper = None;
            return None;
        }
        Some(next)
    }
}

// === impl Reaper ===

impl Reaper {
    fn spawn(pool: Weak<Pool>, first: Duration) -> Self {
        Self(tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(wait) = next {
                sleep(wait).await;
                next = pool.upgrade().and_then(|pool| pool.sweep());
            }
        }))
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
