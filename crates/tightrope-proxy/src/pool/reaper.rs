//! Who closes what nobody uses.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};

use super::Entry;

/// The task that closes what is idle for too long; dropping it ends the task.
#[derive(Debug)]
pub(super) struct Reaper(JoinHandle<()>);

impl Reaper {
    pub(super) fn spawn(entry: &Arc<Entry>, first: Duration) -> Self {
        let entry = Arc::downgrade(entry);
        Self(tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(wait) = next {
                sleep(wait).await;
                next = Weak::upgrade(&entry).and_then(|entry| entry.sweep());
            }
        }))
    }

    /// One that ended without saying so went down with its runtime.
    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
