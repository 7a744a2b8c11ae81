//! What all clones of a balancer share: the newest picker, and how to build the next.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tightrope_upstream::{Follower, Pick, PickError, Snapshot, Upstream};
use tokio::time::Instant;

use crate::{Context, Explanation, Picker, Random, Strategy};

pub(crate) struct Shared {
    /// Kept so that the upstream lives as long as somebody picks from it.
    upstream: Upstream,
    selection: ArcSwap<Selection>,
    seeds: AtomicU64,
    build: Mutex<Build>,
}

/// A snapshot and the picker that was built for it: read together, through one pointer.
struct Selection {
    snapshot: Arc<Snapshot>,
    picker: Box<dyn Picker>,
}

/// What only the writer touches.
struct Build {
    strategy: Box<dyn Strategy>,
    /// Selections that were replaced while a pick still read them. They are freed here, by a
    /// later build, so that no request ever pays for it.
    retired: Vec<Arc<Selection>>,
}

/// Before the first snapshot is followed there is nobody to pick.
#[derive(Debug)]
struct Nobody;

// === impl Shared ===

impl Shared {
    pub(crate) fn new(upstream: &Upstream, strategy: Box<dyn Strategy>) -> Arc<Self> {
        let shared = Arc::new(Self {
            upstream: upstream.clone(),
            selection: ArcSwap::from_pointee(Selection {
                snapshot: upstream.snapshot(),
                picker: Box::new(Nobody),
            }),
            seeds: AtomicU64::new(Random::seed()),
            build: Mutex::new(Build {
                strategy,
                retired: Vec::new(),
            }),
        });
        let weak: Weak<Self> = Arc::downgrade(&shared);
        upstream.follow(weak);
        shared
    }

    pub(crate) fn reseed(&self, seed: u64) {
        self.seeds.store(seed, Ordering::Relaxed);
    }

    /// Chance for one more clone.
    pub(crate) fn fork(&self) -> Random {
        Random::from_seed(self.seeds.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn pick(
        &self,
        context: &Context<'_>,
        random: &mut Random,
    ) -> Result<Pick, PickError> {
        let mut selection = self.selection.load();
        loop {
            let members = selection.snapshot.members();
            let observers = selection.picker.observers();
            let timed;
            let context = match members.first() {
                Some(any) if !observers.is_empty() => {
                    let now = Instant::now();
                    timed = context.at(now, any.record().tick(now));
                    &timed
                }
                _ => context,
            };
            let chosen = selection.picker.pick(context, random);
            let Some((index, endpoint)) =
                chosen.and_then(|index| Some((index, members.get(index)?)))
            else {
                return Err(selection.nobody(context));
            };
            if let Some(pick) = endpoint.pick() {
                return Ok(match observers.get(index) {
                    Some(observer) => {
                        let since = context.tick(endpoint.record());
                        pick.observed_by(Arc::clone(observer), since)
                    }
                    None => pick,
                });
            }
            // The endpoint left service after the selection was read; then a newer selection is
            // there. If not, the picker chose somebody whom it should not have.
            let newer = self.selection.load();
            if Arc::ptr_eq(&selection, &newer) {
                return Err(selection.nobody(context));
            }
            selection = newer;
        }
    }

    pub(crate) fn explain(&self, context: &Context<'_>, random: &Random) -> Explanation {
        let selection = self.selection.load();
        let (snapshot, picker) = (&selection.snapshot, &*selection.picker);
        let mut context = context.for_dry_run();
        if let Some(any) = snapshot.members().first() {
            // One time for all that is looked at.
            let now = Instant::now();
            context = context.at(now, any.record().tick(now));
        }
        Explanation::new(snapshot, picker, &context, &mut random.clone())
    }
}

impl Follower for Shared {
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        let mut build = self.build.lock().unwrap_or_else(PoisonError::into_inner);
        let picker = build.strategy.build(snapshot);
        let old = self.selection.swap(Arc::new(Selection {
            snapshot: Arc::clone(snapshot),
            picker,
        }));
        build.retired.push(old);
        build
            .retired
            .retain(|selection| Arc::strong_count(selection) > 1);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the picker: it may be a table of a million entries.
        f.debug_struct("Shared")
            .field("upstream", &self.upstream)
            .field("snapshot", &self.selection.load().snapshot)
            .finish_non_exhaustive()
    }
}

// === impl Selection ===

impl Selection {
    /// Why there is nobody.
    fn nobody(&self, context: &Context<'_>) -> PickError {
        let (members, available) = (
            self.snapshot.members().len(),
            self.snapshot.available().len(),
        );
        if members == 0 {
            PickError::Empty
        } else if self.is_exhausted(context) {
            PickError::Exhausted { available }
        } else {
            PickError::Unavailable { members }
        }
    }

    /// Whether earlier attempts went to everybody who is available.
    fn is_exhausted(&self, context: &Context<'_>) -> bool {
        let (members, available) = (self.snapshot.members(), self.snapshot.available());
        let tried = |&index: &u32| context.has_tried(&members[index as usize]);
        !available.is_empty() && available.iter().all(tried)
    }
}

// === impl Nobody ===

impl Picker for Nobody {
    fn pick(&self, _: &Context<'_>, _: &mut Random) -> Option<usize> {
        None
    }
}
