//! How many retries there may be for the requests that come.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

/// A bound on the load that retries and hedges add, whatever fails.
///
/// Each request pays a share of one retry in, each retry or hedge takes a whole one out; what was paid in
/// is good for ten seconds. Besides, there are some for each second, so that few requests can be
/// retried as well. With nothing left the client gets what the last attempt came to.
///
/// So in any time there are at most `percent` of the requests of that time and of the ten seconds before, and
/// `reserve` for each of those seconds. The default is 20 percent and 10 a second, as Finagle's. All is
/// counted in whole hundredths: 30 percent are 3 in 10.
///
/// Clones are the same budget: give one to the layers of several upstreams, or to several layers on
/// the way of a request, and they share it. It costs a request a look at the clock and an addition.
///
/// Source: Finagle's `RetryBudget`. It is a share of what is sent and not, as Envoy's, of what is in
/// flight, since failures that come fast are hardly ever in flight.
///
/// ```
/// use tightrope_retry::Budget;
///
/// let budget = Budget::new(50)?.with_reserve(0)?;
/// assert_eq!(budget.available(), 0);
/// budget.deposit();
/// assert!(!budget.withdraw());
/// budget.deposit();
/// assert!(budget.withdraw());
/// # Ok::<(), tightrope_retry::BudgetError>(())
/// ```
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    percent: u32,
    reserve: u32,
    origin: Instant,
    /// One a second. The upper half is the second that it is for, the lower what is in it, in
    /// hundredths of a retry.
    slots: [AtomicU64; SLOTS as usize],
}

/// A [`Budget`] that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// More retries than requests.
    #[error("percent is {0}, not from 0 to 100")]
    Percent(u32),
    /// More retries than make sense.
    #[error("reserve is {0}, not from 0 to 1000000")]
    Reserve(u32),
}

/// How many seconds what was paid in is good for, that of the payment included.
const SLOTS: u64 = 10;

/// What a retry costs.
const WHOLE: u64 = 100;

// === impl Budget ===

impl Budget {
    /// As many retries as `percent` of the requests, from 0 to 100, and 10 a second besides.
    ///
    /// # Errors
    /// More than 100 percent.
    pub fn new(percent: u32) -> Result<Self, BudgetError> {
        if u64::from(percent) > WHOLE {
            return Err(BudgetError::Percent(percent));
        }
        Ok(Self::of(percent, 10))
    }

    /// A new budget with this many retries a second besides, from 0 to 1 000 000.
    ///
    /// # Errors
    /// It is larger.
    pub fn with_reserve(self, a_second: u32) -> Result<Self, BudgetError> {
        if a_second > 1_000_000 {
            return Err(BudgetError::Reserve(a_second));
        }
        Ok(Self::of(self.shared.percent, a_second))
    }

    fn of(percent: u32, reserve: u32) -> Self {
        let shared = Shared {
            percent,
            reserve,
            origin: Instant::now(),
            slots: Default::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Pays in for one request. [`Retry`](crate::Retry) does so for each, also for those that it could not
    /// send again.
    #[inline]
    pub fn deposit(&self) {
        let second = self.shared.second();
        let slot = self.shared.slot(second);
        // Relaxed, here and below: nothing but what is in a slot hangs on it.
        if slot.load(Ordering::Relaxed) >> 32 != second {
            self.shared.open(second);
        }
        slot.fetch_add(u64::from(self.shared.percent), Ordering::Relaxed);
    }

    /// Takes one retry out; false, and nothing taken, where there is none.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        let now = self.shared.second();
        let mut taken = [0; SLOTS as usize];
        let mut missing = WHOLE;
        // The oldest first, which is of no use soon.
        for (second, taken) in (now + 1 - SLOTS..=now).zip(&mut taken) {
            *taken = self.shared.take(second, missing);
            missing -= *taken;
        }
        if missing == 0 {
            return true;
        }
        for (second, taken) in (now + 1 - SLOTS..=now).zip(taken) {
            self.shared.put(second, taken);
        }
        false
    }

    /// Puts one back that was taken out and came to nothing.
    pub(crate) fn give_back(&self) {
        let now = self.shared.second();
        self.shared.open(now);
        self.shared.put(now, WHOLE);
    }

    /// How many retries there are now.
    #[must_use]
    pub fn available(&self) -> u64 {
        let now = self.shared.second();
        let held = (now + 1 - SLOTS..=now).map(|second| {
            self.shared.open(second);
            match self.shared.slot(second).load(Ordering::Relaxed) {
                word if word >> 32 == second => word & u64::from(u32::MAX),
                _ => 0,
            }
        });
        held.sum::<u64>() / WHOLE
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(20, 10)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("percent", &self.shared.percent)
            .field("reserve", &self.shared.reserve)
            .field("available", &self.available())
            .finish()
    }
}

impl PartialEq for Budget {
    /// Whether they are the same budget.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

// === impl Shared ===

impl Shared {
    /// The number of this second. A budget begins as if there had been [`SLOTS`] before.
    fn second(&self) -> u64 {
        SLOTS + self.origin.elapsed().as_secs()
    }

    const fn slot(&self, second: u64) -> &AtomicU64 {
        &self.slots[(second % SLOTS) as usize]
    }

    /// Makes the slot of `second` its own, with what there is for a second anyway.
    #[cold]
    fn open(&self, second: u64) {
        let slot = self.slot(second);
        let fresh = (second << 32) | (u64::from(self.reserve) * WHOLE);
        let mut word = slot.load(Ordering::Relaxed);
        while word >> 32 < second {
            match slot.compare_exchange_weak(word, fresh, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Takes what there is of `wanted` from the slot of `second`.
    fn take(&self, second: u64, wanted: u64) -> u64 {
        self.open(second);
        let slot = self.slot(second);
        let mut word = slot.load(Ordering::Relaxed);
        while word >> 32 == second {
            let part = wanted.min(word & u64::from(u32::MAX));
            if part == 0 {
                return 0;
            }
            match slot.compare_exchange_weak(
                word,
                word - part,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return part,
                Err(now) => word = now,
            }
        }
        0
    }

    /// Puts this much into the slot of `second`, unless that is over.
    fn put(&self, second: u64, part: u64) {
        let slot = self.slot(second);
        let mut word = slot.load(Ordering::Relaxed);
        while part > 0 && word >> 32 == second {
            match slot.compare_exchange_weak(
                word,
                word + part,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}
