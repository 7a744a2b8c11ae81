//! Many futures in one task, of which only those are polled that something happened to.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// The futures of a task. Each has a seat with a number, which the next one gets when it is ready.
///
/// A wake-up says whose turn it is, and wakes the task only while that rests: what the futures and their host do to each
/// other costs the runtime nothing.
pub(super) struct Crowd<F> {
    bell: Arc<Bell>,
    call: Arc<Call>,
    host: Waker,
    seats: Vec<Seat<F>>,
    free: Vec<usize>,
    /// Whose turn it is, those from `next` on.
    turns: Vec<usize>,
    next: usize,
}

struct Seat<F> {
    call: Arc<Call>,
    waker: Waker,
    future: Option<Pin<Box<F>>>,
}

/// Whose turn it is.
pub(super) enum Turn<T> {
    /// That of the task itself.
    Host,
    /// This future is ready.
    Ready(T),
    /// This future panicked, and is gone.
    Panicked,
}

#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<Rung>,
}

#[derive(Debug, Default)]
struct Rung {
    due: Vec<usize>,
    /// The task, while it rests.
    task: Option<Waker>,
}

/// Calls for a turn.
#[derive(Debug)]
struct Call {
    number: usize,
    is_due: AtomicBool,
    bell: Arc<Bell>,
}

/// Stands for the task itself.
const HOST: usize = usize::MAX;

// === impl Crowd ===

impl<F> Crowd<F> {
    /// Nobody yet. The first turn is that of the task itself.
    pub(super) fn new() -> Self {
        let bell = Arc::new(Bell::default());
        let call = Call::new(HOST, &bell);
        Self {
            host: Waker::from(Arc::clone(&call)),
            call,
            bell,
            seats: Vec::new(),
            free: Vec::new(),
            turns: vec![HOST],
            next: 0,
        }
    }

    /// What the task itself waits with.
    pub(super) const fn host(&self) -> &Waker {
        &self.host
    }

    /// Whether nobody is there.
    pub(super) const fn is_empty(&self) -> bool {
        self.free.len() == self.seats.len()
    }

    /// Somebody comes, whose turn comes.
    pub(super) fn add(&mut self, future: F) {
        let number = self.free.pop().unwrap_or_else(|| {
            let call = Call::new(self.seats.len(), &self.bell);
            self.seats.push(Seat {
                waker: Waker::from(Arc::clone(&call)),
                call,
                future: None,
            });
            self.seats.len() - 1
        });
        if let Some(seat) = self.seats.get_mut(number) {
            seat.future = Some(Box::pin(future));
        }
        self.turns.push(number);
    }

    /// The task itself has a turn.
    pub(super) fn call_host(&self) {
        self.host.wake_by_ref();
    }

    /// Everybody leaves.
    pub(super) fn clear(&mut self) {
        self.seats.clear();
        self.free.clear();
    }
}

impl<F: Future> Crowd<F> {
    /// The next turn; pending when nobody has one.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn<F::Output>> {
        loop {
            while let Some(&number) = self.turns.get(self.next) {
                self.next += 1;
                if number == HOST {
                    self.call.begin();
                    return Poll::Ready(Turn::Host);
                }
                if let Some(turn) = self.poll_seat(number) {
                    return Poll::Ready(turn);
                }
            }
            self.next = 0;
            self.turns.clear();
            let mut rung = self.bell.lock();
            std::mem::swap(&mut self.turns, &mut rung.due);
            if self.turns.is_empty() {
                rung.task = Some(cx.waker().clone());
                return Poll::Pending;
            }
            rung.task = None;
        }
    }

    fn poll_seat(&mut self, number: usize) -> Option<Turn<F::Output>> {
        // Who sat there may have left meanwhile.
        let seat = self.seats.get_mut(number)?;
        seat.call.begin();
        let future = seat.future.as_mut()?;
        let mut cx = Context::from_waker(&seat.waker);
        // One that panics ends alone, as it would in a task of its own.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)));
        let turn = match polled {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(output)) => Turn::Ready(output),
            Err(_panic) => Turn::Panicked,
        };
        seat.future = None;
        self.free.push(number);
        Some(turn)
    }
}

// === impl Bell ===

impl Bell {
    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Call ===

impl Call {
    fn new(number: usize, bell: &Arc<Bell>) -> Arc<Self> {
        Arc::new(Self {
            number,
            is_due: AtomicBool::new(false),
            bell: Arc::clone(bell),
        })
    }

    /// The turn begins: from now on another is needed.
    fn begin(&self) {
        // AcqRel: whoever found it due did what it called for before this.
        self.is_due.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let task = {
            let mut rung = self.bell.lock();
            rung.due.push(self.number);
            rung.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::atomic::AtomicUsize,
        task::{Context, Poll, Wake, Waker},
    };

    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A task with `count` futures, each of which is ready when it is told to be.
    fn crowd(
        count: usize,
    ) -> (
        Crowd<impl Future<Output = usize>>,
        Vec<oneshot::Sender<usize>>,
        Arc<AtomicUsize>,
    ) {
        let mut crowd = Crowd::new();
        let polls = Arc::new(AtomicUsize::new(0));
        let mut senders = Vec::new();
        for _ in 0..count {
            let (sender, mut receiver) = oneshot::channel();
            senders.push(sender);
            let polls = Arc::clone(&polls);
            crowd.add(poll_fn(move |cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                Pin::new(&mut receiver).poll(cx).map(Result::unwrap)
            }));
        }
        (crowd, senders, polls)
    }

    /// What was ready, until nobody has a turn.
    fn run<F: Future>(crowd: &mut Crowd<F>, woken: &Arc<Woken>) -> Vec<F::Output> {
        let waker = Waker::from(Arc::clone(woken));
        let mut cx = Context::from_waker(&waker);
        let mut ready = Vec::new();
        while let Poll::Ready(turn) = crowd.poll_turn(&mut cx) {
            if let Turn::Ready(output) = turn {
                ready.push(output);
            }
        }
        ready
    }

    #[test]
    fn only_those_are_polled_that_something_happened_to_and_the_task_is_woken_once() {
        let woken = Arc::new(Woken::default());
        let (mut crowd, mut senders, polls) = crowd(10);
        assert!(run(&mut crowd, &woken).is_empty());
        assert_eq!(polls.load(Ordering::Relaxed), 10);
        for sender in senders.drain(3..5) {
            sender.send(7).unwrap();
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(run(&mut crowd, &woken), [7, 7]);
        assert_eq!(polls.load(Ordering::Relaxed), 12);
        assert!(!crowd.is_empty());
        // The next one sits where one left.
        crowd.call_host();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        for sender in senders {
            sender.send(8).unwrap();
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert_eq!(run(&mut crowd, &woken).len(), 8);
        assert!(crowd.is_empty());
    }

    #[test]
    fn who_sits_where_somebody_left_is_polled_and_can_be_woken() {
        let woken = Arc::new(Woken::default());
        let mut crowd = Crowd::new();
        for number in 0..3 {
            let (sender, receiver) = oneshot::channel();
            crowd.add(receiver);
            assert!(run(&mut crowd, &woken).is_empty());
            sender.send(number).unwrap();
            assert_eq!(run(&mut crowd, &woken), [Ok(number)]);
        }
        assert_eq!(crowd.seats.len(), 1);
    }

    #[test]
    fn one_that_panics_leaves_and_the_others_stay() {
        let woken = Arc::new(Woken::default());
        let mut crowd = Crowd::new();
        let mut answers = [Some(1), None, Some(3)].into_iter();
        for _ in 0..3 {
            let answer = answers.next().unwrap();
            crowd.add(poll_fn(move |_cx| Poll::Ready(answer.expect("a panic"))));
        }
        assert_eq!(run(&mut crowd, &woken), [1, 3]);
        assert!(crowd.is_empty());
    }

    #[test]
    fn nobody_is_polled_who_left_with_all_others() {
        let woken = Arc::new(Woken::default());
        let (mut crowd, senders, polls) = crowd(3);
        run(&mut crowd, &woken);
        for sender in senders {
            sender.send(1).unwrap();
        }
        crowd.clear();
        assert!(run(&mut crowd, &woken).is_empty());
        assert_eq!(polls.load(Ordering::Relaxed), 3);
    }
}
