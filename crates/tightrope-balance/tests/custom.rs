//! Strategies made outside the crate: good ones, broken ones, and what becomes of their pickers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{
    Arc, Mutex, Weak,
    atomic::{AtomicUsize, Ordering},
};

use tightrope_balance::{Balance, Context, Picker, Random, Strategy};
use tightrope_upstream::{Change, Failure, Outcome, PickError, Snapshot, Upstream, Weight};

use crate::support::{id, in_flight, number, tried, upstream};

/// A strategy made of a function that chooses.
struct With<F>(F);

struct WithPicker<F> {
    snapshot: Arc<Snapshot>,
    choose: F,
}

impl<F> std::fmt::Debug for WithPicker<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithPicker").finish_non_exhaustive()
    }
}

impl<F> Strategy for With<F>
where
    F: Fn(&Snapshot, &Context<'_>) -> Option<usize> + Clone + Send + Sync + 'static,
{
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        Box::new(WithPicker {
            snapshot: Arc::clone(snapshot),
            choose: self.0.clone(),
        })
    }
}

impl<F> Picker for WithPicker<F>
where
    F: Fn(&Snapshot, &Context<'_>) -> Option<usize> + Send + Sync + 'static,
{
    fn pick(&self, context: &Context<'_>, _: &mut Random) -> Option<usize> {
        (self.choose)(&self.snapshot, context)
    }
}

/// To whom failed least: what came of earlier attempts is in the record of the endpoint.
fn least_failed(snapshot: &Snapshot, context: &Context<'_>) -> Option<usize> {
    let members = snapshot.members();
    let available = snapshot.available().iter().map(|&index| index as usize);
    available
        .filter(|&index| !context.has_tried(&members[index]))
        .min_by_key(|&index| members[index].record().totals().failed)
}

#[test]
fn a_strategy_of_ones_own_learns_from_outcomes() {
    let upstream = upstream(&[1, 1, 1]);
    let mut balance = Balance::new(&upstream, With(least_failed), ());
    let context = Context::new();
    for _ in 0..2 {
        for expected in 0..3 {
            let mut pick = balance.pick(&context).unwrap();
            assert_eq!(number(&pick), expected);
            pick.set_outcome(Outcome::Failure(Failure::Reset));
        }
    }
    for _ in 0..3 {
        let mut pick = balance.pick(&context).unwrap();
        assert_eq!(number(&pick), 0);
        pick.set_outcome(Outcome::Success);
    }
    let attempt = tried(&[0]);
    let again = Context::new().with_attempt(&attempt);
    assert_eq!(number(&balance.pick(&again).unwrap()), 1);
}

#[test]
fn an_update_between_the_choice_and_the_place_leads_to_a_choice_from_the_newer_selection() {
    let upstream = upstream(&[1, 1, 1]);
    let writer = upstream.clone();
    // Whoever is chosen is drained before the choice is told, but for the last.
    let choose = move |snapshot: &Snapshot, _: &Context<'_>| {
        let chosen = *snapshot.available().first()? as usize;
        if snapshot.available().len() > 1 {
            let member = snapshot.members()[chosen].id().clone();
            writer.apply(Change::new().drain(member, "test")).unwrap();
        }
        Some(chosen)
    };
    let mut balance = Balance::new(&upstream, With(choose), ());
    let pick = balance.pick(&Context::new()).unwrap();
    assert_eq!(number(&pick), 2);
    assert_eq!(in_flight(&upstream), 1);
    drop(pick);
    let members = upstream.snapshot();
    for member in &members.members()[..2] {
        assert_eq!(member.record().totals(), Default::default());
    }
}

#[test]
fn everybody_leaving_between_the_choice_and_the_place_is_an_error() {
    let upstream = upstream(&[1]);
    let writer = upstream.clone();
    let choose = move |snapshot: &Snapshot, _: &Context<'_>| {
        if !snapshot.members().is_empty() {
            writer.apply(Change::new().replace([])).unwrap();
        }
        snapshot.available().first().map(|&index| index as usize)
    };
    let mut balance = Balance::new(&upstream, With(choose), ());
    assert_eq!(balance.pick(&Context::new()).unwrap_err(), PickError::Empty);
}

#[test]
fn a_choice_that_does_not_exist_is_an_error() {
    let choose = |_: &Snapshot, _: &Context<'_>| Some(usize::MAX);
    let mut balance = Balance::new(&upstream(&[1, 1]), With(choose), ());
    let expected = PickError::Unavailable { members: 2 };
    assert_eq!(balance.pick(&Context::new()).unwrap_err(), expected);
    // Not "all were tried": endpoint 1 was not.
    let attempt = tried(&[0]);
    let again = Context::new().with_attempt(&attempt);
    assert_eq!(balance.pick(&again).unwrap_err(), expected);
}

#[test]
fn a_choice_of_somebody_drained_is_an_error_and_not_a_loop() {
    let upstream = upstream(&[1, 1]);
    upstream.apply(Change::new().drain(id(0), "test")).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let choose = move |_: &Snapshot, _: &Context<'_>| {
        count.fetch_add(1, Ordering::Relaxed);
        Some(0)
    };
    let mut balance = Balance::new(&upstream, With(choose), ());
    let expected = PickError::Unavailable { members: 2 };
    assert_eq!(balance.pick(&Context::new()).unwrap_err(), expected);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(in_flight(&upstream), 0);
}

/// Builds pickers that leave a trace of whether they still live.
#[derive(Clone, Default)]
struct Traced {
    built: Arc<Mutex<Vec<(Weak<Snapshot>, Weak<()>)>>>,
}

#[derive(Debug)]
struct TracedPicker {
    snapshot: Arc<Snapshot>,
    _alive: Arc<()>,
}

impl Strategy for Traced {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let alive = Arc::new(());
        let trace = (Arc::downgrade(snapshot), Arc::downgrade(&alive));
        self.built.lock().unwrap().push(trace);
        Box::new(TracedPicker {
            snapshot: Arc::clone(snapshot),
            _alive: alive,
        })
    }
}

impl Picker for TracedPicker {
    fn pick(&self, context: &Context<'_>, _: &mut Random) -> Option<usize> {
        least_failed(&self.snapshot, context)
    }
}

impl Traced {
    fn built(&self) -> usize {
        self.built.lock().unwrap().len()
    }

    /// The builds whose picker or snapshot is still there.
    fn alive(&self) -> Vec<usize> {
        let built = self.built.lock().unwrap();
        let traces = built.iter().enumerate();
        traces
            .filter(|(_, (snapshot, picker))| {
                snapshot.strong_count() > 0 || picker.strong_count() > 0
            })
            .map(|(n, _)| n)
            .collect()
    }
}

/// Traced pickers, the first of which changes the upstream in the middle of its choice.
struct Around {
    inner: Traced,
    writer: Upstream,
}

#[derive(Debug)]
struct AroundPicker {
    inner: Box<dyn Picker>,
    writer: Option<Upstream>,
}

impl Strategy for Around {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let first = self.inner.built() == 0;
        Box::new(AroundPicker {
            inner: self.inner.build(snapshot),
            writer: first.then(|| self.writer.clone()),
        })
    }
}

impl Picker for AroundPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        if let Some(upstream) = &self.writer {
            reweigh(upstream, 7);
        }
        self.inner.pick(context, random)
    }
}

fn reweigh(upstream: &Upstream, weight: u16) {
    let change = Change::new().set_weight(id(0), Weight::from(weight));
    upstream.apply(change).unwrap();
}

#[test]
fn replaced_selections_are_freed() {
    let upstream = upstream(&[1, 1]);
    let traced = Traced::default();
    let mut balance = Balance::new(&upstream, traced.clone(), ());
    let mut clone = balance.clone();
    for weight in 2..100 {
        reweigh(&upstream, weight);
        let _picks = [balance.pick(&Context::new()), clone.pick(&Context::new())];
    }
    assert_eq!(traced.built(), 99);
    assert_eq!(traced.alive(), [98]);
    drop((balance, clone));
    assert!(traced.alive().len() <= 1); // the upstream still has the snapshot
    let built = &traced.built.lock().unwrap()[98];
    assert_eq!(built.1.strong_count(), 0);
}

#[test]
fn a_selection_that_was_replaced_while_a_pick_read_it_is_freed_by_the_next_build() {
    let upstream = upstream(&[1, 1]);
    let traced = Traced::default();
    let around = Around {
        inner: traced.clone(),
        writer: upstream.clone(),
    };
    let mut balance = Balance::new(&upstream, around, ());
    assert!(balance.pick(&Context::new()).is_ok());
    assert_eq!(traced.alive(), [0, 1]); // no request paid for freeing it
    reweigh(&upstream, 8);
    assert_eq!(traced.alive(), [2]);
}

#[test]
fn nothing_is_built_for_a_balancer_that_is_gone() {
    let upstream = upstream(&[1, 1]);
    let traced = Traced::default();
    let balance = Balance::new(&upstream, traced.clone(), ());
    let clone = balance.clone();
    reweigh(&upstream, 2);
    drop(balance);
    reweigh(&upstream, 3);
    assert_eq!(traced.built(), 3);
    drop(clone);
    reweigh(&upstream, 4);
    assert_eq!(traced.built(), 3);
}

#[test]
fn a_balancer_keeps_its_upstream() {
    let mut balance = Balance::new(&upstream(&[1]), With(least_failed), ());
    assert!(balance.pick(&Context::new()).is_ok());
}

#[test]
fn a_strategy_may_be_chosen_at_run_time() {
    for strategy in [
        Box::new(With(least_failed)) as Box<dyn Strategy>,
        Box::new(tightrope_balance::RoundRobin::new()),
    ] {
        let mut balance = Balance::new(&upstream(&[1]), strategy, ());
        assert!(balance.pick(&Context::new()).is_ok());
    }
}
