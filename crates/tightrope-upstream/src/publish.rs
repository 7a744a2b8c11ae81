//! Brings snapshots to those who pick, and opens and closes endpoints around it.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Weak},
};

use tokio::sync::watch;

use crate::{
    Endpoint, Snapshot,
    sync::{AtomicUsize, Mutex, Ordering, lock},
};

/// Somebody who picks from snapshots, and prepares for each new one: a balancer.
pub trait Follower: Send + Sync {
    /// From when this returns, every pick must be made from `snapshot` or a newer one.
    ///
    /// Called by the writer, one snapshot at a time, in order of generation; where changes come
    /// faster than this returns, some are skipped and the newest always comes last. It must not
    /// change or follow the upstream. It should not panic: the writer's
    /// [`apply`](crate::Upstream::apply) would, once all others have been told.
    fn follow(&self, snapshot: &Arc<Snapshot>);
}

/// Lets one writer at a time bring the newest snapshot to all followers. Writers that come
/// meanwhile leave theirs to it, so a burst of changes costs at most two builds and no writer
/// waits for the build of another.
pub(crate) struct Publisher {
    /// Publications that were asked for and not yet seen to. Who raises it from zero does the work.
    asked: AtomicUsize,
    audience: Mutex<Audience>,
    settled: watch::Sender<u64>,
}

type Panic = Box<dyn Any + Send>;

struct Audience {
    followers: Vec<Weak<dyn Follower>>,
    settled: Arc<Snapshot>,
}

// === impl Publisher ===

impl Publisher {
    pub(crate) fn new(first: Arc<Snapshot>) -> Self {
        Self {
            asked: AtomicUsize::new(0),
            settled: watch::Sender::new(first.generation()),
            audience: Mutex::new(Audience {
                followers: Vec::new(),
                settled: first,
            }),
        }
    }

    /// The generation that all followers have reached.
    pub(crate) fn settled(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }

    pub(crate) fn add(&self, follower: Weak<dyn Follower>) {
        let mut audience = lock(&self.audience);
        if let Some(follower) = follower.upgrade() {
            follower.follow(&audience.settled);
        }
        audience.followers.retain(|old| old.strong_count() > 0);
        audience.followers.push(follower);
    }

    /// Brings what `newest` gives to all followers, or leaves that to whoever is at it.
    pub(crate) fn publish(&self, newest: impl Fn() -> Arc<Snapshot>) {
        // AcqRel: our snapshot was stored before, so whoever takes over our request sees it.
        if self.asked.fetch_add(1, Ordering::AcqRel) != 0 {
            return;
        }
        let mut seen = 1;
        let mut panic = None;
        while seen != 0 {
            // Read after the count was: it has everything that was asked for.
            let (generation, panicked) = lock(&self.audience).settle(newest());
            panic = panic.or(panicked);
            self.settled.send_replace(generation);
            seen = self.asked.fetch_sub(seen, Ordering::AcqRel) - seen;
        }
        // Not before: other writers left their publications to us.
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

// === impl Audience ===

impl Audience {
    /// Brings `newest` to all followers; gives back its generation, and a panic of one of them.
    fn settle(&mut self, newest: Arc<Snapshot>) -> (u64, Option<Panic>) {
        let (before, generation) = (Arc::clone(&self.settled), newest.generation());
        if generation == before.generation() {
            return (generation, None);
        }
        let are_aligned = are_aligned(&before, &newest);

        // First let in, then tell the pickers, then let no more in: whoever finds an endpoint
        // closed finds a newer picker published.
        if are_aligned {
            for (place, member) in changed(&before, &newest) {
                if newest.availability()[place].is_in_service() {
                    member.record().open();
                }
            }
        } else {
            for (member, availability) in newest.members().iter().zip(newest.availability()) {
                if availability.is_in_service() {
                    member.record().mark(generation);
                    member.record().open();
                }
            }
        }
        let mut panic = None;
        self.followers.retain(|follower| match follower.upgrade() {
            Some(follower) => {
                // Nothing of ours is seen by it half done, and its own state is its own.
                let told = catch_unwind(AssertUnwindSafe(|| follower.follow(&newest)));
                panic = panic.take().or(told.err());
                true
            }
            None => false,
        });
        if are_aligned {
            for (place, member) in changed(&before, &newest) {
                if !newest.availability()[place].is_in_service() {
                    member.record().close();
                }
            }
        } else {
            let all = before.members().iter().chain(newest.members());
            for member in all.filter(|member| !member.record().is_marked(generation)) {
                member.record().close();
            }
        }
        self.settled = newest;
        (generation, panic)
    }
}

/// Whether both have the same members in the same places, whatever their weights and roles.
fn are_aligned(before: &Snapshot, newest: &Snapshot) -> bool {
    let is_same = |(was, is): (&Arc<Endpoint>, &Arc<Endpoint>)| was.is_same(is);
    Arc::ptr_eq(before.layout(), newest.layout())
        || before.members().len() == newest.members().len()
            && before.members().iter().zip(newest.members()).all(is_same)
}

/// The members of `newest` whose availability is not what it was.
fn changed<'a>(
    before: &'a Snapshot,
    newest: &'a Snapshot,
) -> impl Iterator<Item = (usize, &'a Arc<Endpoint>)> {
    let pairs = before.availability().iter().zip(newest.availability());
    pairs
        .zip(newest.members())
        .enumerate()
        .filter(|(_, ((was, is), _))| was != is)
        .map(|(place, (_, member))| (place, member))
}
