//! How long an attempt is waited for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::time::Instant;

/// How long an attempt and the body of its answer are waited for: what a retry layer and whoever
/// makes the attempt know of each other.
///
/// Clones are the same patience. Who waits [gives up](Self::give_up) when the time of the attempt is
/// over, and polls it once more; who makes it then sees that it [is over](Self::is_over), says how it
/// ended, and whose fault that is. An attempt that stays pending is dropped, which is nobody's fault.
/// The one who waits wakes the task, so that nobody else needs a timer.
///
/// Once the head of the answer was given back nobody gives up any more, but the body must end by the
/// [deadline](Self::deadline). A tunnel has none.
///
/// ```
/// use tightrope_upstream::{Attempt, Patience};
///
/// let patience = Patience::new(None);
/// let attempt = Attempt::first().with_patience(patience.clone());
/// let seen = attempt.patience().expect("it has one");
/// assert!(!seen.is_over());
/// patience.give_up();
/// assert!(seen.is_over());
/// ```
#[derive(Clone, Debug)]
pub struct Patience(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    is_over: AtomicBool,
    deadline: Option<Instant>,
}

impl Patience {
    /// Not over yet, for an answer that must have ended by `deadline`; none: it may go on for ever.
    #[must_use]
    pub fn new(deadline: Option<Instant>) -> Self {
        Self(Arc::new(Inner {
            is_over: AtomicBool::new(false),
            deadline,
        }))
    }

    /// The attempt has had its time.
    pub fn give_up(&self) {
        // Relaxed, here and below: the poll that follows is in the same task.
        self.0.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether the attempt has had its time.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    /// When the body of the answer must have ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }
}

impl PartialEq for Patience {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Patience {}
