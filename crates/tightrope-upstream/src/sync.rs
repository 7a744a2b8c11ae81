//! The primitives whose interleavings loom checks: std's normally, loom's under `--cfg loom`.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

#[cfg(not(loom))]
pub(crate) use arc_swap::ArcSwap;

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

#[cfg(loom)]
pub(crate) use model::ArcSwap;

use std::sync::PoisonError;

/// Locks, and takes the value as it is where a panic poisoned the lock: every critical section of
/// this crate leaves its value whole before it calls code that could panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(loom)]
mod model {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{AtomicUsize, Ordering};

    /// `arc_swap`'s pointer as loom sees it: a load acquires what a store released, and nothing
    /// more. Keeps all it ever held; readers look for the newest by its index.
    pub(crate) struct ArcSwap<T> {
        newest: AtomicUsize,
        held: Mutex<Vec<Arc<T>>>,
    }

    impl<T> ArcSwap<T> {
        pub(crate) fn new(first: Arc<T>) -> Self {
            Self {
                newest: AtomicUsize::new(0),
                held: Mutex::new(vec![first]),
            }
        }

        /// Called by one writer at a time.
        pub(crate) fn store(&self, next: Arc<T>) {
            let newest = {
                let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                held.push(next);
                held.len() - 1
            };
            self.newest.store(newest, Ordering::Release);
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            let newest = self.newest.load(Ordering::Acquire);
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&held[newest])
        }

        pub(crate) fn load(&self) -> Arc<T> {
            self.load_full()
        }
    }
}
