//! Polls futures one by one, drops them when it is told to, and moves the time.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
use tokio::time::{Instant, advance};

/// Somebody who does something.
pub(crate) type Part = Pin<Box<dyn Future<Output = ()>>>;

/// Who takes part, and what is known of them. One turn polls each of them once who was woken.
#[derive(Default)]
pub(crate) struct Stage {
    actors: Vec<Actor>,
    /// Who comes while others are polled.
    pub(crate) entrance: Rc<RefCell<Vec<Part>>>,
    /// For how many turns nobody had anything to do.
    quiet: usize,
    /// Who comes first, and who has to wait, if that is left to chance.
    pub(crate) chance: Option<StdRng>,
}

/// What became of somebody.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) polls: Cell<usize>,
    pub(crate) is_over: Cell<bool>,
}

struct Actor {
    part: Option<Part>,
    woken: Arc<Woken>,
    fate: Rc<Fate>,
    /// After how many polls it is dropped.
    lives: usize,
}

struct Woken(AtomicBool);

/// For how many turns nobody here may be woken while tasks of the runtime are at it.
const QUIET: usize = 5;

/// What takes longer than this never ends.
const MOST_TURNS: usize = 200_000;

// === impl Stage ===

impl Stage {
    /// Lets `part` begin, and drops it after it was polled `lives` times.
    pub(crate) fn enter(&mut self, part: Part, lives: usize) -> Rc<Fate> {
        let fate = Rc::new(Fate::default());
        let mut actor = Actor {
            part: Some(part),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            fate: Rc::clone(&fate),
            lives,
        };
        actor.end_of_lives();
        self.actors.push(actor);
        fate
    }

    /// Goes on until `is_reached`, for at most `patience`; whether that came.
    pub(crate) async fn until(
        &mut self,
        patience: Duration,
        mut is_reached: impl FnMut() -> bool,
    ) -> bool {
        let start = Instant::now();
        for _ in 0..MOST_TURNS {
            // At rest, so that what is on its way to the runtime counts.
            if self.quiet >= QUIET && is_reached() {
                return true;
            }
            if start.elapsed() > patience {
                return false;
            }
            self.turn().await;
        }
        false
    }

    async fn turn(&mut self) {
        if self.quiet >= QUIET {
            self.quiet = 0;
            advance(Duration::from_millis(1)).await;
        }
        if let Some(chance) = &mut self.chance {
            self.actors.shuffle(chance);
        }
        let mut is_quiet = true;
        for actor in &mut self.actors {
            if actor.woken.0.load(Ordering::Relaxed) {
                is_quiet = false;
                let waits = self.chance.as_mut().map(|chance| chance.random_bool(0.3));
                if waits != Some(true) {
                    actor.poll();
                }
            }
        }
        self.actors.retain(|actor| actor.part.is_some());
        for part in self.entrance.take() {
            is_quiet = false;
            self.enter(part, usize::MAX);
        }
        self.quiet = if is_quiet { self.quiet + 1 } else { 0 };
        // To the tasks of the runtime, and to what the sockets have.
        tokio::task::yield_now().await;
    }
}

// === impl Actor ===

impl Actor {
    fn poll(&mut self) {
        self.woken.0.store(false, Ordering::Relaxed);
        let Some(part) = &mut self.part else { return };
        let waker = Waker::from(Arc::clone(&self.woken));
        let polled = part.as_mut().poll(&mut Context::from_waker(&waker));
        self.fate.polls.set(self.fate.polls.get() + 1);
        if polled.is_ready() {
            self.part = None;
            self.fate.is_over.set(true);
        }
        self.end_of_lives();
    }

    fn end_of_lives(&mut self) {
        if self.fate.polls.get() >= self.lives && self.part.take().is_some() {
            self.fate.is_over.set(true);
        }
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until it is polled again.
pub(crate) async fn pause() {
    let mut has_paused = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut has_paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
