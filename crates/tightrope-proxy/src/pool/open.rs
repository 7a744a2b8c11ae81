//! What is held by whoever uses a connection.

use std::{fmt, sync::Arc};

use super::Entry;
use crate::{h1, h2::Connection};

/// Counts one connection; dropping it says that the connection is closed.
pub(crate) struct Open {
    /// None when the connection went back.
    entry: Option<Arc<Entry>>,
}

/// The place of one request on a connection of HTTP/2; dropping it gives the place to another.
pub(crate) struct Stream {
    pub(crate) connection: Arc<Connection>,
    /// Whether the connection carried nothing else when it was taken.
    pub(crate) was_idle: bool,
    /// Where the connection is shared, and counted.
    place: Place,
}

enum Place {
    Shared(Arc<Entry>),
    Alone { _open: Open },
}

// === impl Open ===

impl Open {
    /// For a connection that `entry` counts already.
    pub(super) const fn new(entry: Arc<Entry>) -> Self {
        Self { entry: Some(entry) }
    }

    /// The connection is open, and nobody uses it.
    pub(super) fn kept(mut self) {
        self.entry = None;
    }

    /// Keeps a connection whose response ended, for the next request. Must be called within a
    /// runtime, for the task that closes it should none come.
    pub(crate) fn put_back(mut self, connection: Box<h1::Connection>) {
        if let Some(entry) = self.entry.take() {
            entry.put(connection);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(entry) = &self.entry {
            entry.closed();
        }
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}

// === impl Stream ===

impl Stream {
    /// A place on a shared connection, that `entry` counts already.
    pub(super) const fn new(
        connection: Arc<Connection>,
        was_idle: bool,
        entry: Arc<Entry>,
    ) -> Self {
        Self {
            connection,
            was_idle,
            place: Place::Shared(entry),
        }
    }

    /// On a connection for one request alone.
    pub(super) fn alone(connection: Connection, open: Open) -> Self {
        Self {
            was_idle: true,
            connection: Arc::new(connection),
            place: Place::Alone { _open: open },
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Place::Shared(entry) = &self.place {
            entry.released(&self.connection);
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
