//! What an origin counts and can be told.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;

/// What an origin counts and can be told; outlives its restarts.
pub(super) struct State {
    name: String,
    counts: watch::Sender<Counts>,
    gate: watch::Sender<bool>,
    up: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: usize,
    pub(super) open: usize,
    pub(super) connections: usize,
}

/// Counts one open request for as long as it lives.
pub(super) struct Open(Arc<State>);

impl State {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            counts: watch::Sender::new(Counts::default()),
            gate: watch::Sender::new(false),
            up: AtomicBool::new(true),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(super) async fn wait_for(&self, f: impl Fn(&Counts) -> bool) {
        let mut counts = self.counts.subscribe();
        // We hold the sender, so it cannot be gone.
        let _reached = counts.wait_for(f).await;
    }

    pub(super) fn connected(&self) {
        self.counts.send_modify(|counts| counts.connections += 1);
    }

    pub(super) fn opened(self: &Arc<Self>) -> Open {
        self.counts.send_modify(|counts| {
            counts.requests += 1;
            counts.open += 1;
        });
        Open(Arc::clone(self))
    }

    pub(super) const fn gate(&self) -> &watch::Sender<bool> {
        &self.gate
    }

    /// Resolves once the gate is open.
    pub(super) async fn pass(self: Arc<Self>) {
        let mut gate = self.gate.subscribe();
        let _open = gate.wait_for(|&open| open).await;
    }

    pub(super) fn mark(&self, up: bool) {
        self.up.store(up, Ordering::Release);
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counts.send_modify(|counts| counts.open -= 1);
    }
}
