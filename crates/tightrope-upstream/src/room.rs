//! What the members of an upstream share: a limit on all of them, and who waits for a place.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::{Notify, futures::OwnedNotified};

use crate::places::{Places, Taken};

/// What the members of an upstream share of room for attempts.
pub(crate) struct Room {
    /// Of all members together. Counted only while there is a limit.
    places: Places,
    freed: Arc<Notify>,
}

/// Resolves when there may be room where there was none: see [`Upstream::freed`](crate::Upstream::freed).
#[must_use = "a future does nothing unless it is polled"]
pub struct Freed {
    notified: Pin<Box<OwnedNotified>>,
}

// === impl Room ===

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            places: Places::open_from_the_start(),
            freed: Arc::new(Notify::new()),
        }
    }

    pub(crate) fn take_within(&self, most: usize) -> Taken {
        self.places.take_within(most)
    }

    pub(crate) fn give_back(&self) {
        if self.places.give_back().was_wanted() {
            self.places.answer();
            self.tell();
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.places.count()
    }

    /// Tells all who wait that there may be room.
    pub(crate) fn tell(&self) {
        self.freed.notify_waiters();
    }

    pub(crate) fn freed(&self) -> Freed {
        Freed {
            notified: Box::pin(Arc::clone(&self.freed).notified_owned()),
        }
    }
}

// === impl Freed ===

impl Future for Freed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.notified.as_mut().poll(context)
    }
}

impl fmt::Debug for Freed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Freed").finish_non_exhaustive()
    }
}
