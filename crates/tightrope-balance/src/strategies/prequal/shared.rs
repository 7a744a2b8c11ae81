//! What the strategy, its pickers and its prober share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

use super::{pool::Pool, targets::Targets};

/// Where picks leave word for the prober, and it for them. Nobody waits here.
#[derive(Debug, Default)]
pub(super) struct Shared {
    picks: Picks,
    /// Whether the prober is to be woken for the next pick.
    is_asleep: AtomicBool,
    is_over: AtomicBool,
    waker: ArcSwapOption<Waker>,
    pool: ArcSwap<Pool>,
    targets: ArcSwapOption<Targets>,
}

/// The picks that the prober does not know of yet. Written by every pick, so it has cache lines of
/// its own: the rest is read by all and seldom written.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Picks(AtomicU64);

// === impl Shared ===

impl Shared {
    /// A pick is made: there is something to do for the prober.
    pub(super) fn picked(&self) {
        // SeqCst, here and in `sleep`: of a pick that counts and then looks whether the prober is
        // asleep, and a prober that falls asleep and then looks at the count, one sees the other.
        self.picks.0.fetch_add(1, Ordering::SeqCst);
        if self.is_asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    pub(super) fn pool(&self) -> Guard<Arc<Pool>> {
        self.pool.load()
    }

    /// From now on these may be probed.
    pub(super) fn aim(&self, targets: Option<Arc<Targets>>) {
        self.targets.store(targets);
    }

    /// The strategy is gone.
    pub(super) fn end(&self) {
        // SeqCst: as in `picked`. Either the prober finds that it is over, or we find it asleep.
        self.is_over.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// The prober is to be woken by `waker` for the next pick. Gives and forgets the picks up to
    /// now.
    pub(super) fn sleep(&self, waker: &Waker) -> u64 {
        let is_known = self
            .waker
            .load()
            .as_ref()
            .is_some_and(|known| known.will_wake(waker));
        if !is_known {
            self.waker.store(Some(Arc::new(waker.clone())));
        }
        self.is_asleep.store(true, Ordering::SeqCst);
        self.picks.0.swap(0, Ordering::SeqCst)
    }

    pub(super) fn targets(&self) -> Option<Arc<Targets>> {
        self.targets.load_full()
    }

    /// Gives the pool that was there.
    pub(super) fn publish(&self, pool: Pool) -> Arc<Pool> {
        self.pool.swap(Arc::new(pool))
    }

    /// The prober is gone: nobody is to be woken.
    pub(super) fn abandon(&self) {
        self.is_asleep.store(false, Ordering::SeqCst);
        self.waker.store(None);
        self.pool.store(Arc::default());
    }

    /// Wakes the prober, unless another did.
    fn wake(&self) {
        if self.is_asleep.swap(false, Ordering::SeqCst)
            && let Some(waker) = &*self.waker.load()
        {
            waker.wake_by_ref();
        }
    }
}
