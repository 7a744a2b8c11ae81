//! What all clones of a balancer share: the newest picker, and how to build the next.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use tightrope_upstream::{
    Endpoint, Follower, Freed, Pick, PickError, Refusal, Snapshot, Tick, Upstream,
};

use super::WhenFull;
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

/// Why one question to the picker came to nothing.
enum Missed {
    /// Nobody was chosen, or somebody who left service.
    Nobody,
    /// Who was chosen is full; its serial.
    Full(u64),
    UpstreamFull,
}

/// No endpoint's serial: a place on any of them will do.
pub(crate) const ANYBODY: u64 = 0;

/// How often a picker is asked for another one who is not full.
const ASKED: usize = 32;

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

    /// Resolves when there may be room where there was none.
    pub(crate) fn freed(&self) -> Freed {
        self.upstream.freed()
    }

    #[inline]
    pub(crate) fn pick(
        &self,
        context: &Context<'_>,
        when_full: WhenFull,
        random: &mut Random,
    ) -> Result<Pick, PickError> {
        let selection = self.selection.load();
        if selection.is_observed {
            return self.pick_observed(selection, context, when_full, random);
        }
        let Some((index, endpoint)) = selection.choose(context, random) else {
            return self.pick_again(selection, Missed::Nobody, context, when_full, random);
        };
        // What is not the rule stands apart: its results would have to be moved to where those of the
        // rule are made in place.
        if endpoint.is_limited() {
            return self.pick_limited(selection, index, context, when_full, random);
        }
        match endpoint.pick() {
            Ok(pick) => Ok(pick),
            Err(refusal) => {
                let missed = Missed::by(refusal, endpoint);
                self.pick_again(selection, missed, context, when_full, random)
            }
        }
    }

    #[inline(never)]
    fn pick_limited(
        &self,
        selection: Guard<Arc<Selection>>,
        chosen: usize,
        context: &Context<'_>,
        when_full: WhenFull,
        random: &mut Random,
    ) -> Result<Pick, PickError> {
        let endpoint = &selection.snapshot.members()[chosen];
        match endpoint.pick() {
            Ok(pick) => Ok(pick),
            Err(refusal) => {
                let missed = Missed::by(refusal, endpoint);
                self.pick_again(selection, missed, context, when_full, random)
            }
        }
    }

    // Apart, so that the pick above saves few registers and is made in place.
    #[inline(never)]
    fn pick_observed(
        &self,
        selection: Guard<Arc<Selection>>,
        context: &Context<'_>,
        when_full: WhenFull,
        random: &mut Random,
    ) -> Result<Pick, PickError> {
        match selection.pick_observed(context, random) {
            Ok(pick) => Ok(pick),
            Err(missed) => self.pick_again(selection, missed, context, when_full, random),
        }
    }

    /// After a pick from `selection` came to nothing.
    #[cold]
    fn pick_again(
        &self,
        mut selection: Guard<Arc<Selection>>,
        mut missed: Missed,
        context: &Context<'_>,
        when_full: WhenFull,
        random: &mut Random,
    ) -> Result<Pick, PickError> {
        let mut full = Vec::new();
        loop {
            match missed {
                Missed::Full(_) if when_full == WhenFull::Stay => return Err(selection.full()),
                Missed::Full(serial) if full.len() < ASKED => full.push(serial),
                Missed::Full(_) => return selection.pick_any(context, random),
                Missed::UpstreamFull => return Err(PickError::UpstreamFull),
                Missed::Nobody => {
                    // Where the chosen endpoint left service after the selection was read a newer
                    // one is there. If not, there is nobody, or the picker chose somebody whom it
                    // should not have.
                    let newer = self.selection.load();
                    if Arc::ptr_eq(&selection, &newer) {
                        return Err(if full.is_empty() {
                            selection.nobody(context)
                        } else {
                            selection.full()
                        });
                    }
                    full.clear();
                    selection = newer;
                }
            }
            match selection.pick(&context.with_full(&full), random) {
                Ok(pick) => return Ok(pick),
                Err(again) => missed = again,
            }
        }
    }

    /// Whom a request may wait for that was refused because of `error`: an endpoint, by its serial, or
    /// [`ANYBODY`]. None where waiting is in vain.
    pub(crate) fn line(
        &self,
        error: &PickError,
        context: &Context<'_>,
        when_full: WhenFull,
        random: &Random,
    ) -> Option<u64> {
        match error {
            PickError::Full { .. } => Some(self.line_of(context, when_full, random)),
            PickError::UpstreamFull => Some(ANYBODY),
            _ => None,
        }
    }

    /// Where others are in front of a request, if they wait.
    pub(crate) fn line_of(
        &self,
        context: &Context<'_>,
        when_full: WhenFull,
        random: &Random,
    ) -> u64 {
        let selection = self.selection.load();
        let context = context.for_dry_run();
        let chosen = match when_full {
            WhenFull::MoveOn => None,
            WhenFull::Stay => selection.choose(&context, &mut random.clone()),
        };
        chosen.map_or(ANYBODY, |(_, endpoint)| endpoint.record().serial())
    }

    pub(crate) fn available(&self) -> usize {
        self.selection.load().snapshot.available().len()
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

    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Result<Pick, Missed> {
        if self.is_observed {
            return self.pick_observed(context, random);
        }
        let (_, endpoint) = self.choose(context, random).ok_or(Missed::Nobody)?;
        endpoint
            .pick()
            .map_err(|refusal| Missed::by(refusal, endpoint))
    }

    fn pick_observed(&self, context: &Context<'_>, random: &mut Random) -> Result<Pick, Missed> {
        let any = self.snapshot.members().first().ok_or(Missed::Nobody)?;
        let context = context.timed(any.record());
        let (index, endpoint) = self.choose(&context, random).ok_or(Missed::Nobody)?;
        let pick = endpoint
            .pick()
            .map_err(|refusal| Missed::by(refusal, endpoint))?;
        let since = context.tick(endpoint.record());
        Ok(self.observed(pick, index, since))
    }

    fn observed(&self, pick: Pick, index: usize, since: Tick) -> Pick {
        match self.picker.observers().get(index) {
            Some(observer) => pick.observed_by(Arc::clone(observer), since),
            None => pick,
        }
    }

    /// Anybody who has room, from a random place on: once a picker chose many who have none.
    fn pick_any(&self, context: &Context<'_>, random: &mut Random) -> Result<Pick, PickError> {
        let (members, available) = (self.snapshot.members(), self.snapshot.available());
        let (before, after) = available.split_at(random.index(available.len()));
        let untried = after.iter().chain(before).map(|&index| index as usize);
        for index in untried.filter(|&index| !context.has_tried(&members[index])) {
            match members[index].pick() {
                Ok(pick) => {
                    let record = members[index].record();
                    return Ok(self.observed(pick, index, context.tick(record)));
                }
                Err(Refusal::UpstreamFull) => return Err(PickError::UpstreamFull),
                Err(_) => {}
            }
        }
        Err(self.full())
    }

    fn full(&self) -> PickError {
        PickError::Full {
            available: self.snapshot.available().len(),
        }
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

// === impl Missed ===

impl Missed {
    fn by(refusal: Refusal, endpoint: &Endpoint) -> Self {
        match refusal {
            Refusal::Full => Self::Full(endpoint.record().serial()),
            Refusal::UpstreamFull => Self::UpstreamFull,
            _ => Self::Nobody,
        }
    }
}

// === impl Nobody ===

impl Picker for Nobody {
    fn pick(&self, _: &Context<'_>, _: &mut Random) -> Option<usize> {
        None
    }
}
