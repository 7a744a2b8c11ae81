//! What all clones of a balancer share: the newest picker, and how to build the next.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use tightrope_upstream::{Endpoint, Follower, Pick, PickError, Snapshot, Upstream};

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
    /// Whether the picker has observers.
    is_observed: bool,
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
            selection: ArcSwap::from_pointee(Selection::new(upstream.snapshot(), Box::new(Nobody))),
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

    #[inline]
    pub(crate) fn pick(
        &self,
        context: &Context<'_>,
        random: &mut Random,
    ) -> Result<Pick, PickError> {
        let selection = self.selection.load();
        if selection.is_observed {
            return self.pick_observed(selection, context, random);
        }
        if let Some((_, endpoint)) = selection.choose(context, random)
            && let Some(pick) = endpoint.pick()
        {
            return Ok(pick);
        }
        self.pick_again(selection, context, random)
    }

    // Apart, so that the pick above saves few registers and is made in place.
    #[inline(never)]
    fn pick_observed(
        &self,
        selection: Guard<Arc<Selection>>,
        context: &Context<'_>,
        random: &mut Random,
    ) -> Result<Pick, PickError> {
        match selection.pick(context, random) {
            Some(pick) => Ok(pick),
            None => self.pick_again(selection, context, random),
        }
    }

    /// After a pick from `selection` came to nothing.
    #[cold]
    fn pick_again(
        &self,
        mut selection: Guard<Arc<Selection>>,
        context: &Context<'_>,
        random: &mut Random,
    ) -> Result<Pick, PickError> {
        loop {
            // Where the chosen endpoint left service after the selection was read a newer one is
            // there. If not, there is nobody, or the picker chose somebody whom it should not have.
            let newer = self.selection.load();
            if Arc::ptr_eq(&selection, &newer) {
                return Err(selection.nobody(context));
            }
            if let Some(pick) = newer.pick(context, random) {
                return Ok(pick);
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
            context = context.timed(any.record());
        }
        Explanation::new(snapshot, picker, &context, &mut random.clone())
    }
}

impl Follower for Shared {
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        let mut build = self.build.lock().unwrap_or_else(PoisonError::into_inner);
        let picker = build.strategy.build(snapshot);
        let new = Selection::new(Arc::clone(snapshot), picker);
        let old = self.selection.swap(Arc::new(new));
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
    fn new(snapshot: Arc<Snapshot>, picker: Box<dyn Picker>) -> Self {
        Self {
            is_observed: !picker.observers().is_empty(),
            snapshot,
            picker,
        }
    }

    /// Whom the picker chooses, and the index of that.
    #[inline]
    fn choose(
        &self,
        context: &Context<'_>,
        random: &mut Random,
    ) -> Option<(usize, &Arc<Endpoint>)> {
        let index = self.picker.pick(context, random)?;
        Some((index, self.snapshot.members().get(index)?))
    }

    /// `None` where nobody is chosen, or somebody who left service.
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<Pick> {
        if !self.is_observed {
            return self.choose(context, random)?.1.pick();
        }
        let any = self.snapshot.members().first()?;
        let context = context.timed(any.record());
        let (index, endpoint) = self.choose(&context, random)?;
        let pick = endpoint.pick()?;
        Some(match self.picker.observers().get(index) {
            Some(observer) => {
                let since = context.tick(endpoint.record());
                pick.observed_by(Arc::clone(observer), since)
            }
            None => pick,
        })
    }

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
