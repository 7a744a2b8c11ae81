//! Followers are given every newest snapshot, and an update is applied once all of them have it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};

use crate::members::{id, member};
use tightrope_upstream::{Change, Follower, Snapshot, Upstream, Weight};

/// Remembers the generations that it was given.
#[derive(Default)]
struct Seen(Mutex<Vec<u64>>);

impl Seen {
    fn generations(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

impl Follower for Seen {
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        self.0.lock().unwrap().push(snapshot.generation());
    }
}

/// Says when it begins to build, and is done when it is told to be.
struct Slow {
    began: mpsc::Sender<u64>,
    done: Mutex<mpsc::Receiver<()>>,
    running: AtomicUsize,
}

impl Slow {
    fn new() -> (Arc<Self>, mpsc::Receiver<u64>, mpsc::Sender<()>) {
        let (began, beginnings) = mpsc::channel();
        let (finish, done) = mpsc::channel();
        let slow = Self {
            began,
            done: Mutex::new(done),
            running: AtomicUsize::new(0),
        };
        (Arc::new(slow), beginnings, finish)
    }
}

impl Follower for Slow {
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        assert_eq!(self.running.fetch_add(1, Ordering::SeqCst), 0);
        self.began.send(snapshot.generation()).unwrap();
        self.done.lock().unwrap().recv().unwrap();
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Panics while it is told to.
#[derive(Default)]
struct Moody {
    angry: AtomicBool,
    seen: Seen,
}

impl Follower for Moody {
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        assert!(!self.angry.load(Ordering::SeqCst), "angry");
        self.seen.follow(snapshot);
    }
}

fn weak<F: Follower + 'static>(follower: &Arc<F>) -> Weak<dyn Follower> {
    let weak: Weak<F> = Arc::downgrade(follower);
    weak
}

/// Whether the future has an answer without waiting.
fn is_ready(future: impl Future) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    pin!(future).poll(&mut context).is_ready()
}

fn weighs(weight: u16) -> Change {
    Change::new().set_weight(id("a"), Weight::from(weight))
}

#[test]
fn a_follower_gets_the_current_snapshot_at_once_and_every_newer_one() {
    let upstream = Upstream::new("shop");
    upstream.apply(Change::new().add(member("a"))).unwrap();
    let seen = Arc::new(Seen::default());
    upstream.follow(weak(&seen));
    assert_eq!(seen.generations(), [1]);
    upstream.apply(Change::new().add(member("b"))).unwrap();
    upstream.apply(Change::new().drain(id("b"), "x")).unwrap();
    upstream.apply(Change::new().drain(id("b"), "x")).unwrap();
    upstream.apply(Change::new().add(member("a"))).unwrap_err();
    assert_eq!(seen.generations(), [1, 2, 3]);
}

#[test]
fn a_dropped_follower_is_forgotten() {
    let upstream = Upstream::new("shop");
    let (gone, stays) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    upstream.follow(weak(&gone));
    upstream.follow(weak(&stays));
    let memory = Arc::downgrade(&gone);
    drop(gone);
    upstream.apply(Change::new().add(member("a"))).unwrap();
    assert_eq!(stays.generations(), [0, 1]);
    // Neither a publication nor a newcomer finds it still listed.
    assert_eq!(memory.weak_count(), 0);
    let short = Arc::new(Seen::default());
    upstream.follow(weak(&short));
    let memory = Arc::downgrade(&short);
    drop(short);
    let other = Arc::new(Seen::default());
    upstream.follow(weak(&other));
    assert_eq!(memory.weak_count(), 0);
    let never: Weak<Seen> = Weak::new();
    upstream.follow(never);
    upstream.apply(weighs(2)).unwrap();
    assert_eq!(other.generations(), [1, 2]);
}

#[test]
fn bursts_coalesce_and_the_newest_comes_last() {
    let upstream = Upstream::new("shop");
    upstream.apply(Change::new().add(member("a"))).unwrap();
    let (slow, began, finish) = Slow::new();
    finish.send(()).unwrap();
    upstream.follow(weak(&slow));
    assert_eq!(began.recv(), Ok(1));
    thread::scope(|scope| {
        let first = scope.spawn(|| upstream.apply(weighs(2)).unwrap());
        assert_eq!(began.recv(), Ok(2));
        // Writers that come while it builds do not wait for it.
        let burst: Vec<_> = (3..100)
            .map(|weight| upstream.apply(weighs(weight)).unwrap())
            .collect();
        assert_eq!(burst.last().unwrap().generation(), 99);
        assert_eq!(upstream.snapshot().generation(), 99);
        assert!(burst.iter().all(|update| !update.is_applied()));
        finish.send(()).unwrap();
        // All of them cost one more build.
        assert_eq!(began.recv(), Ok(99));
        assert!(burst.iter().all(|update| !update.is_applied()));
        finish.send(()).unwrap();
        assert!(first.join().unwrap().is_applied());
        assert!(burst.iter().all(|update| update.is_applied()));
        assert!(began.try_recv().is_err());
    });
}

#[test]
fn an_update_is_applied_only_after_every_follower_has_it() {
    let upstream = Upstream::new("shop");
    upstream
        .apply(Change::new().replace([member("a"), member("b")]))
        .unwrap();
    let a = Arc::clone(&upstream.snapshot().members()[0]);
    let (slow, began, finish) = Slow::new();
    finish.send(()).unwrap();
    upstream.follow(weak(&slow));
    assert_eq!(began.recv(), Ok(1));
    thread::scope(|scope| {
        let first = scope.spawn(|| upstream.apply(weighs(2)).unwrap());
        assert_eq!(began.recv(), Ok(2));
        let update = upstream.apply(Change::new().remove(id("a"))).unwrap();
        assert!(!is_ready(update.applied()));
        // Until then the endpoint is open, and is not called drained however idle it is.
        assert!(a.pick().is_ok());
        assert!(!is_ready(update.drained(Duration::MAX)));
        finish.send(()).unwrap();
        assert_eq!(began.recv(), Ok(3));
        assert!(a.pick().is_ok());
        assert!(!is_ready(update.applied()));
        finish.send(()).unwrap();
        first.join().unwrap();
        assert!(is_ready(update.applied()));
        assert!(a.pick().is_err());
        assert!(is_ready(update.drained(Duration::MAX)));
    });
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_before_the_update_is_applied_leaves_everything() {
    let upstream = Upstream::new("shop");
    upstream
        .apply(Change::new().replace([member("a"), member("b")]))
        .unwrap();
    let pick = upstream.snapshot().members()[0].pick().unwrap();
    let (slow, began, finish) = Slow::new();
    finish.send(()).unwrap();
    upstream.follow(weak(&slow));
    assert_eq!(began.recv(), Ok(1));
    let writer = {
        let upstream = upstream.clone();
        thread::spawn(move || upstream.apply(weighs(2)).unwrap())
    };
    assert_eq!(began.recv(), Ok(2));
    let update = upstream.apply(Change::new().replace([])).unwrap();
    let report = update.drained(Duration::from_secs(1)).await;
    assert_eq!(report.remaining, [(id("a"), 1), (id("b"), 0)]);
    assert!(report.resumed.is_empty());
    assert!(!report.is_complete());
    finish.send(()).unwrap();
    finish.send(()).unwrap();
    writer.join().unwrap();
    drop(pick);
    assert!(update.drained(Duration::ZERO).await.is_complete());
}

#[test]
fn a_member_that_came_and_went_before_anybody_saw_it_cannot_be_picked() {
    let upstream = Upstream::new("shop");
    upstream.apply(Change::new().add(member("a"))).unwrap();
    let (slow, began, finish) = Slow::new();
    finish.send(()).unwrap();
    upstream.follow(weak(&slow));
    assert_eq!(began.recv(), Ok(1));
    thread::scope(|scope| {
        let first = scope.spawn(|| upstream.apply(weighs(2)).unwrap());
        assert_eq!(began.recv(), Ok(2));
        upstream.apply(Change::new().add(member("b"))).unwrap();
        let between = upstream.snapshot();
        let update = upstream.apply(Change::new().remove(id("b"))).unwrap();
        finish.send(()).unwrap();
        assert_eq!(began.recv(), Ok(4));
        finish.send(()).unwrap();
        first.join().unwrap();
        assert!(update.is_applied());
        assert!(between.members()[1].pick().is_err());
        assert!(is_ready(update.drained(Duration::MAX)));
    });
}

#[test]
fn a_record_is_resumed_while_its_leaving_is_not_yet_applied() {
    let upstream = Upstream::new("shop");
    upstream
        .apply(Change::new().replace([member("a"), member("b")]))
        .unwrap();
    let (slow, began, finish) = Slow::new();
    finish.send(()).unwrap();
    upstream.follow(weak(&slow));
    assert_eq!(began.recv(), Ok(1));
    let b = Arc::clone(&upstream.snapshot().members()[1]);
    thread::scope(|scope| {
        let first = scope.spawn(|| upstream.apply(weighs(2)).unwrap());
        assert_eq!(began.recv(), Ok(2));
        // Nothing is in flight on b, but who picks by the old snapshot may still reach it.
        let left = upstream.apply(Change::new().remove(id("b"))).unwrap();
        upstream.apply(Change::new().add(member("b"))).unwrap();
        let pick = b.pick().unwrap();
        let again = upstream.snapshot();
        assert!(Arc::ptr_eq(again.members()[1].record(), b.record()));
        assert_eq!(again.members()[1].record().in_flight(), 1);
        finish.send(()).unwrap();
        assert_eq!(began.recv(), Ok(4));
        finish.send(()).unwrap();
        first.join().unwrap();
        assert!(left.is_applied());
        drop(pick);
    });
}

#[test]
fn a_follower_that_panics_wedges_nobody() {
    let upstream = Upstream::new("shop");
    upstream
        .apply(Change::new().replace([member("a"), member("b")]))
        .unwrap();
    let moody = Arc::new(Moody::default());
    let behind = Arc::new(Seen::default());
    upstream.follow(weak(&moody));
    upstream.follow(weak(&behind));
    let b = Arc::clone(&upstream.snapshot().members()[1]);

    moody.angry.store(true, Ordering::SeqCst);
    let apply = || upstream.apply(Change::new().remove(id("b")));
    assert!(catch_unwind(AssertUnwindSafe(apply)).is_err());
    // The change is made: the others were told, and the endpoint is closed.
    assert_eq!(upstream.snapshot().generation(), 2);
    assert_eq!(behind.generations(), [1, 2]);
    assert!(b.pick().is_err());

    moody.angry.store(false, Ordering::SeqCst);
    assert!(upstream.apply(weighs(2)).unwrap().is_applied());
    assert_eq!(moody.seen.generations(), [1, 3]);
    assert_eq!(behind.generations(), [1, 2, 3]);
}

#[test]
fn what_other_writers_left_to_one_whose_follower_panics_is_applied() {
    let upstream = Upstream::new("shop");
    upstream.apply(Change::new().add(member("a"))).unwrap();
    let moody = Arc::new(Moody::default());
    let (slow, began, finish) = Slow::new();
    finish.send(()).unwrap();
    upstream.follow(weak(&slow));
    upstream.follow(weak(&moody));
    assert_eq!(began.recv(), Ok(1));
    moody.angry.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let first = scope.spawn(|| catch_unwind(AssertUnwindSafe(|| upstream.apply(weighs(2)))));
        assert_eq!(began.recv(), Ok(2));
        let update = upstream.apply(weighs(3)).unwrap();
        assert!(!update.is_applied());
        finish.send(()).unwrap();
        assert_eq!(began.recv(), Ok(3));
        finish.send(()).unwrap();
        assert!(first.join().unwrap().is_err());
        assert!(update.is_applied());
    });
}

#[test]
fn concurrent_writers_end_with_everything_applied() {
    let upstream = Upstream::new("shop");
    let seen = Arc::new(Seen::default());
    upstream.follow(weak(&seen));
    let (writers, rounds) = (4, 200);
    let updates: Vec<_> = thread::scope(|scope| {
        let upstream = &upstream;
        let writers: Vec<_> = (0..writers)
            .map(|writer| {
                scope.spawn(move || {
                    let name = format!("w{writer}");
                    for _ in 0..rounds {
                        upstream.apply(Change::new().add(member(&name))).unwrap();
                        upstream.apply(Change::new().remove(id(&name))).unwrap();
                    }
                    upstream.apply(Change::new().add(member(&name))).unwrap()
                })
            })
            .collect();
        writers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    let snapshot = upstream.snapshot();
    assert_eq!(snapshot.generation(), writers * (2 * rounds + 1));
    assert!(updates.iter().all(|update| update.is_applied()));
    let generations = seen.generations();
    assert!(generations.is_sorted_by(|a, b| a < b));
    assert_eq!(generations.last(), Some(&snapshot.generation()));
    for member in snapshot.members() {
        assert!(member.pick().is_ok());
    }
}
