//! The live state of an endpoint.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use crate::{
    Admin, Availability, Decay, Ejection, Failure, Fault, Health, Outcome, Reason, Status, Verdict,
    load::{Latency, Penalty, Tick},
    places::{Left, Places, Taken},
    room::Room,
    sync::{AtomicU64, AtomicUsize, Mutex, Ordering, lock},
};

/// The live state of one endpoint: in-flight count, outcomes, and the verdicts on it.
///
/// There is one for each id of an upstream. Every strategy and detector shares it, and it survives
/// every update that keeps the id; an endpoint that is removed and added again while attempts
/// are still in flight finds its record as it was, and after that it starts anew. Padded to cache
/// lines of its own, so that the counts of neighbours do not slow each other down.
#[repr(align(128))]
pub struct Record {
    /// One for each attempt in flight.
    places: Places,
    /// How many wait on `idle`.
    waiting: AtomicUsize,
    latency: Latency,
    penalty: Penalty,
    /// Ticks are counted from here, by all records of an upstream.
    epoch: Instant,
    succeeded: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    /// The newest generation in which the endpoint was in service, as the publisher saw it.
    seen: AtomicU64,
    idle: Notify,
    room: Arc<Room>,
    serial: u64,
    status: Mutex<Status>,
}

/// The attempts on an endpoint that ended since its record began, by [`Outcome`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Ended well.
    pub succeeded: u64,
    /// Ended badly.
    pub failed: u64,
    /// Dropped before they ended.
    pub cancelled: u64,
}

/// How a wait for the last attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Nothing is in flight, and nothing can come.
    Idle,
    /// A later update put the endpoint back into service.
    Resumed,
}

/// The serial of the next record of this process.
static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);

// === impl Record ===

impl Record {
    pub(crate) fn new(health: Health, epoch: Instant, room: Arc<Room>) -> Self {
        let reason = || Reason::from("new");
        Self {
            // Closed until it is published: one that is taken out before that never opens.
            places: Places::closed(),
            waiting: AtomicUsize::new(0),
            latency: Latency::new(),
            penalty: Penalty::new(),
            epoch,
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            idle: Notify::new(),
            room,
            serial: NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            status: Mutex::new(Status {
                admin: Verdict::new(Admin::Active, reason()),
                health: Verdict::new(health, reason()),
                ejection: Verdict::new(Ejection::In, reason()),
            }),
        }
    }

    /// The attempts in flight, until the end of their response bodies or tunnels.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.places.count()
    }

    /// The attempts that ended.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            succeeded: self.succeeded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
        }
    }

    /// The verdicts, as the newest update left them; a snapshot read earlier may know less.
    /// Takes a lock that no pick ever takes.
    #[must_use]
    pub fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// How long answers take by `now`, in nanoseconds; `None` before the first sample, and once
    /// the newest is longer ago than twice `decay`.
    ///
    /// An average that follows peaks at once and forgets them over time. A sample above it replaces
    /// it; one below draws it down the more, the longer ago the last one is:
    /// `average = average * k + sample * (1 - k)` where `k = e^(-age / decay)`. A read fades in the
    /// same way and writes nothing, so an endpoint that was slow once is tried again, in twice `decay` at
    /// the latest however slow it was. One atomic word, no lock; `k` is right to 1 in 9,000, and the same on every machine. Source:
    /// Finagle's Peak EWMA, and linkerd's for reads that do not write.
    #[inline]
    #[must_use]
    pub fn latency_ns(&self, now: Tick, decay: Decay) -> Option<f32> {
        self.latency.estimate_ns(now, decay)
    }

    /// Takes in how long an answer took that came at `at`.
    pub fn add_latency(&self, at: Tick, latency: Duration, decay: Decay) {
        self.latency.record(at, latency, decay);
    }

    /// Takes in that an answer would have taken no less than `latency`: what an attempt tells that
    /// failed or was given up. Raises the average and never lowers it.
    pub fn raise_latency(&self, at: Tick, latency: Duration) {
        self.latency.raise(at, latency);
    }

    /// Takes `latency` for true until samples say otherwise: for an endpoint that comes, or comes back,
    /// so that it neither draws everybody nor is avoided for what it was.
    pub fn assume_latency(&self, at: Tick, latency: Duration) {
        self.latency.assume(at, latency);
    }

    /// How many times busier the endpoint is to count because it fails: 1 where it does not.
    ///
    /// An endpoint that fails fast looks idle and quick. So a failure of [its own](crate::Fault::Upstream)
    /// makes it count as 129 times busier, and what that is above 1 halves every 0.5 s. If it then
    /// fails again it begins anew, with a half-life of 4 s, and from the third in a row on of 8 s. The
    /// first success ends it, and so do a probe that finds the endpoint healthy again and the end of an
    /// ejection. Reads the clock only where there is a penalty.
    #[inline]
    #[must_use]
    pub fn penalty(&self) -> u32 {
        self.penalty.factor(|| self.tick(Instant::now()))
    }

    /// Takes in what an attempt tells of the endpoint.
    #[inline]
    pub(crate) fn learn(&self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.penalty.clear(),
            Outcome::Failure(failure) => self.learn_failure(failure),
            Outcome::Cancelled => {}
        }
    }

    #[cold]
    fn learn_failure(&self, failure: Failure) {
        if failure.fault() == Fault::Upstream {
            self.penalty.failed(self.tick(Instant::now()));
        }
    }

    /// Forgets the failures: the endpoint was found healthy again, or is to be tried.
    pub(crate) fn forgive(&self) {
        self.penalty.clear();
    }

    /// `at` in the life of the upstream: the same for all its records.
    #[must_use]
    pub fn tick(&self, at: Instant) -> Tick {
        Tick::new(self.epoch, at)
    }

    /// A number that no other record of this process has or will have: a cheap key for what others
    /// keep for an endpoint, such as its idle connections.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// Takes one place in flight, unless closed, or on trial and taken.
    #[inline]
    pub(crate) fn acquire(&self) -> Taken {
        match self.places.take() {
            Ok(()) => Taken::Yes,
            Err(before) => self.acquire_again(before),
        }
    }

    #[cold]
    fn acquire_again(&self, before: Left) -> Taken {
        self.give_back();
        if before.is_closed() {
            return Taken::Closed;
        }
        self.acquire_within(usize::MAX)
    }

    /// Takes one place in flight, unless closed, or as many are taken as may be.
    pub(crate) fn acquire_within(&self, most: usize) -> Taken {
        self.places.take_within(most)
    }

    pub(crate) fn has_room(&self, most: usize) -> bool {
        self.places.is_below(most)
    }

    /// What it shares with the other members of the upstream.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// Counts the outcome and gives the place back.
    #[inline]
    pub(crate) fn release(&self, outcome: Outcome) {
        let total = match outcome {
            Outcome::Success => &self.succeeded,
            Outcome::Failure(_) => &self.failed,
            Outcome::Cancelled => &self.cancelled,
        };
        total.fetch_add(1, Ordering::Relaxed);
        self.give_back();
    }

    /// Gives a place back that came to nothing.
    #[inline]
    fn give_back(&self) {
        let before = self.places.give_back();
        if before.was_last() {
            self.wake();
        }
        if before.was_wanted() {
            self.tell();
        }
    }

    #[inline]
    fn wake(&self) {
        // Relaxed: ordered by the read-modify-write of `places` before it.
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.wake_waiting();
        }
    }

    #[cold]
    fn wake_waiting(&self) {
        self.idle.notify_waiters();
    }

    /// Tells who found no place that there is one.
    #[cold]
    fn tell(&self) {
        self.places.answer();
        self.room.tell();
    }

    /// Lets picks in. Called before the pickers that may choose the endpoint are published.
    pub(crate) fn open(&self) {
        if self.places.open().is_closed() {
            self.wake();
        }
    }

    /// Lets no pick in any more. Called after the pickers that do not choose it are published.
    pub(crate) fn close(&self) {
        self.places.close();
    }

    /// Lets in as many picks as an endpoint may get that has this verdict of live traffic.
    fn admit(&self, ejection: Ejection) {
        match ejection {
            Ejection::OnTrial => self.places.begin_trial(),
            Ejection::In | Ejection::Ejected => {
                if self.places.end_trial().was_wanted() {
                    self.tell();
                }
            }
        }
    }

    /// Notes that the endpoint is in service in `generation`.
    pub(crate) fn mark(&self, generation: u64) {
        // Relaxed: written and read under the publisher's lock.
        self.seen.store(generation, Ordering::Relaxed);
    }

    pub(crate) fn is_marked(&self, generation: u64) -> bool {
        self.seen.load(Ordering::Relaxed) == generation
    }

    /// Resolves when nothing is in flight, or the endpoint is open again. To be asked once the
    /// endpoint was closed.
    pub(crate) async fn drained(&self) -> Drained {
        let _waiting = Waiting::new(&self.waiting);
        loop {
            let mut changed = pin!(self.idle.notified());
            changed.as_mut().enable();
            // Where a load could miss the last release, while that misses `waiting`.
            let places = self.places.peek();
            if !places.is_closed() {
                return Drained::Resumed;
            }
            if places.count() == 0 {
                return Drained::Idle;
            }
            changed.await;
        }
    }

    /// Sets the verdict of live traffic; tells whether that changed it.
    pub(crate) fn set_ejection(&self, ejection: Ejection, reason: &Reason) -> bool {
        let changes = lock(&self.status).ejection.set(ejection, reason);
        if changes {
            self.admit(ejection);
        }
        changes
    }

    pub(crate) fn with_status<T>(&self, f: impl FnOnce(&mut Status) -> T) -> T {
        f(&mut lock(&self.status))
    }

    /// What follows from the verdicts for an endpoint of the active group that has a weight.
    pub(crate) fn verdict(&self) -> Availability {
        let status = lock(&self.status);
        match (
            status.admin.value(),
            status.health.value(),
            status.ejection.value(),
        ) {
            (Admin::Draining, _, _) => Availability::Draining,
            (_, Health::Unhealthy, _) => Availability::Unhealthy,
            (_, _, Ejection::Ejected) => Availability::Ejected,
            (Admin::Active, Health::Healthy, Ejection::In | Ejection::OnTrial) => {
                Availability::Available
            }
        }
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("serial", &self.serial)
            .field("in_flight", &self.in_flight())
            .field("totals", &self.totals())
            .finish_non_exhaustive()
    }
}

/// Counts one waiter for as long as it lives, however its future ends.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        // Relaxed, here and below: ordered by the read-modify-write of `places` after it.
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
