//! Connections to endpoints, and who may use which.

mod connect;
mod connections;
mod entry;
mod lend;
mod open;
mod reaper;
mod warm;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tightrope_upstream::Endpoint;

use crate::ForwardConfig;

pub(crate) use self::{
    connect::ConnectError,
    lend::Lent,
    open::{Open, Stream},
};
pub use self::{connections::Connections, warm::KeepWarm};
use self::{entry::Entry, reaper::Reaper};

/// The connections to all endpoints.
///
/// One of HTTP/1.1 is used again only if its request was written and its response read, and nothing came since, not
/// even its end; the one used last is taken first. One of HTTP/2 is used as long as the endpoint does not say that it
/// takes no more.
#[derive(Debug)]
pub(crate) struct Pool {
    /// By the serial of the record of the endpoint.
    entries: Mutex<BTreeMap<u64, Arc<Entry>>>,
    config: Arc<ForwardConfig>,
}

// === impl Pool ===

impl Pool {
    pub(crate) const fn new(config: Arc<ForwardConfig>) -> Self {
        Self {
            entries: Mutex::new(BTreeMap::new()),
            config,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Entry>>> {
        // Every critical section leaves the map whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What leads to `endpoint`.
    fn entry(&self, endpoint: &Endpoint) -> Arc<Entry> {
        let mut entries = self.lock();
        let serial = endpoint.record().serial();
        if let Some(entry) = entries.get(&serial)
            && entry.leads_to(endpoint.address())
        {
            return Arc::clone(entry);
        }
        // Seldom, and so the time to look for endpoints that are gone.
        entries.retain(|_, entry| !entry.is_forsaken());
        let entry = Arc::new(Entry::new(endpoint, Arc::clone(&self.config)));
        let moved = entries.insert(serial, Arc::clone(&entry));
        drop(entries);
        if let Some(old) = moved {
            old.retire();
        }
        entry
    }

    /// The connections to `endpoint`.
    pub(crate) fn connections(&self, endpoint: &Endpoint) -> Connections {
        let entries = self.lock();
        let entry = entries.get(&endpoint.record().serial());
        entry.map_or_else(Connections::default, |entry| entry.connections())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for entry in self.lock().values() {
            entry.retire();
        }
    }
}
