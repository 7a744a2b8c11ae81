//! Where requests wait while all endpoints are full.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroUsize,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many requests may wait for an endpoint that has room, and for how long.
///
/// A request waits where every endpoint it may go to has as many in flight
/// [as it may have](tightrope_upstream::EndpointSpec::with_max_in_flight), or
/// [all together have](tightrope_upstream::Change::limit_in_flight). Who came first goes first; who
/// comes while others wait goes behind them. One that comes when the queue is full, or has waited
/// for the whole timeout, fails with an error of its own; so do all at once when nobody is available
/// any more. Nothing of this speaks against an endpoint.
///
/// It costs a request that finds room one look at how many wait.
///
/// ```
/// use std::{num::NonZeroUsize, time::Duration};
/// use tightrope_balance::{Balance, LeastRequest, Queue};
/// use tightrope_upstream::Upstream;
///
/// let upstream = Upstream::new("api");
/// let queue = Queue::new(NonZeroUsize::MIN.saturating_add(99), Duration::from_secs(2));
/// let balance = Balance::new(&upstream, LeastRequest::new(), ()).with_queue(queue);
/// assert_eq!(balance.waiting(), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    pub(crate) most: NonZeroUsize,
    pub(crate) timeout: Duration,
}

/// What becomes of a request whose endpoint is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It goes to another one that has room, as the strategy chooses. The default.
    #[default]
    MoveOn,
    /// It stays with the one that was chosen for it, and waits for that where there is a [`Queue`];
    /// otherwise it fails. For hashing strategies whose clients must not be served elsewhere. Those
    /// who wait for one endpoint do not hold up those who wait for another.
    Stay,
}

/// The requests that wait: those for the same endpoint in one line, those for any in another.
pub(crate) struct Lines {
    pub(crate) settings: Queue,
    waiting: AtomicUsize,
    /// By serial of the endpoint.
    lines: Mutex<HashMap<u64, Weak<Semaphore>>>,
}

/// The place of one request.
pub(crate) struct Place {
    lines: Arc<Lines>,
    line: u64,
    turn: Turn,
}

enum Turn {
    /// Others are in front.
    Behind(Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send + Sync>>),
    /// It is first in its line; the next one is when this is dropped.
    First(#[expect(dead_code, reason = "it is held")] Option<OwnedSemaphorePermit>),
}

// === impl Queue ===

impl Queue {
    /// At most so many wait at a time, each for at most `timeout`; zero is no wait at all.
    #[must_use]
    pub const fn new(most: NonZeroUsize, timeout: Duration) -> Self {
        Self { most, timeout }
    }
}

// === impl Lines ===

impl Lines {
    pub(crate) fn new(settings: Queue) -> Self {
        Self {
            settings,
            waiting: AtomicUsize::new(0),
            lines: Mutex::default(),
        }
    }

    /// How many wait.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        // Relaxed, here and below: a count that orders nothing. Who came a moment before the first
        // began to wait may go.
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for `line`.
    pub(crate) fn is_waited_for(&self, line: u64) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(&line).is_some_and(|line| line.strong_count() > 0)
    }

    /// Goes to the end of `line`; none where as many wait as may.
    pub(crate) fn join(self: &Arc<Self>, line: u64) -> Option<Place> {
        let most = self.settings.most.get();
        let joined = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < most).then_some(waiting + 1)
            });
        joined.ok()?;
        Some(Place {
            turn: self.line_up(line),
            line,
            lines: Arc::clone(self),
        })
    }

    fn line_up(&self, line: u64) -> Turn {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let one = lines.get(&line).and_then(Weak::upgrade);
        let one = one.unwrap_or_else(|| {
            lines.retain(|_, line| line.strong_count() > 0);
            let one = Arc::new(Semaphore::new(1));
            lines.insert(line, Arc::downgrade(&one));
            one
        });
        match Arc::clone(&one).try_acquire_owned() {
            Ok(permit) => Turn::First(Some(permit)),
            // It is never closed.
            Err(_) => Turn::Behind(Box::pin(async move { one.acquire_owned().await.ok() })),
        }
    }
}

// === impl Place ===

impl Place {
    /// Ready once the request is first in its line.
    pub(crate) fn poll_first(&mut self, task: &mut Context<'_>) -> Poll<()> {
        if let Turn::Behind(turn) = &mut self.turn {
            let permit = ready!(turn.as_mut().poll(task));
            self.turn = Turn::First(permit);
        }
        Poll::Ready(())
    }

    /// Goes to the end of another line, unless it is in that; tells whether it was not.
    pub(crate) fn change_to(&mut self, line: u64) -> bool {
        let changes = self.line != line;
        if changes {
            self.turn = self.lines.line_up(line);
            self.line = line;
        }
        changes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lines.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}
