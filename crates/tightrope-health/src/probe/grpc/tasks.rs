//! What a connection of HTTP/2 needs done beside it.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::Executor;
use tokio::task::JoinSet;
use tracing::Instrument;

/// The tasks of one probe. They end when it is dropped.
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

/// Adds to them.
#[derive(Clone)]
pub(super) struct Spawner(Arc<Mutex<JoinSet<()>>>);

// === impl Tasks ===

impl Tasks {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    pub(super) fn spawner(&self) -> Spawner {
        Spawner(Arc::clone(&self.0))
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // Not left to the set: the tasks may hold spawners, and so the set itself.
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.abort_all();
    }
}

// === impl Spawner ===

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(task.in_current_span());
    }
}
