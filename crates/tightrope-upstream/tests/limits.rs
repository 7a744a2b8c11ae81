//! How many attempts may be in flight, and who is told when there may be more.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    num::NonZeroU32,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Waker},
};

use crate::members::{id, member};
use tightrope_upstream::{Change, Endpoint, EventKind, Freed, Pick, Refusal, Upstream};

fn most(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn endpoint(upstream: &Upstream, name: &str) -> Arc<Endpoint> {
    Arc::clone(upstream.snapshot().get(&id(name)).unwrap().0)
}

fn is_ready(freed: &mut Freed) -> bool {
    let mut task = Context::from_waker(Waker::noop());
    Pin::new(freed).poll(&mut task).is_ready()
}

fn limited(limits: &[u32]) -> Upstream {
    let upstream = Upstream::new("limited");
    let names = ["a", "b", "c"].iter().zip(limits);
    let members = names.map(|(name, &limit)| member(name).with_max_in_flight(most(limit)));
    upstream.apply(Change::new().replace(members)).unwrap();
    upstream
}

#[test]
fn the_last_place_is_taken_and_no_other() {
    let upstream = limited(&[2]);
    let a = endpoint(&upstream, "a");
    assert!(a.has_room());
    let picks = [a.pick().unwrap(), a.pick().unwrap()];
    assert!(!a.has_room());
    assert_eq!(a.pick().unwrap_err(), Refusal::Full);
    assert_eq!(a.record().in_flight(), 2);
    drop(picks);
    assert!(a.has_room() && a.pick().is_ok());
    assert_eq!(a.record().in_flight(), 0);
}

#[test]
fn out_of_service_comes_before_full() {
    let upstream = limited(&[1]);
    let a = endpoint(&upstream, "a");
    let _pick = a.pick().unwrap();
    upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
    assert_eq!(a.pick().unwrap_err(), Refusal::Closed);
}

#[test]
fn an_endpoint_that_refuses_takes_nothing_from_the_upstream() {
    let upstream = limited(&[1, 1]);
    upstream
        .apply(Change::new().limit_in_flight(Some(most(2))))
        .unwrap();
    let (a, b) = (endpoint(&upstream, "a"), endpoint(&upstream, "b"));
    let _one = a.pick().unwrap();
    for _ in 0..5 {
        assert_eq!(a.pick().unwrap_err(), Refusal::Full);
    }
    assert_eq!(upstream.in_flight(), 1);
    let _other = b.pick().unwrap();
    assert_eq!(b.pick().unwrap_err(), Refusal::UpstreamFull);
    assert_eq!(upstream.in_flight(), 2);
}

#[tokio::test]
async fn a_limit_on_all_is_an_event_and_changes_no_member() {
    let upstream = limited(&[1, 1]);
    let mut events = upstream.events();
    let update = upstream
        .apply(Change::new().limit_in_flight(Some(most(7))))
        .unwrap();
    assert!(update.leaving().is_empty());
    let limited = EventKind::Limited {
        max_in_flight: Some(most(7)),
    };
    assert_eq!(events.next().await.unwrap().unwrap().kind, limited);
    let mut task = Context::from_waker(Waker::noop());
    assert!(pin!(events.next()).poll(&mut task).is_pending());
    let same = upstream
        .apply(Change::new().limit_in_flight(Some(most(7))))
        .unwrap();
    assert_eq!(same.generation(), update.generation());
}

#[test]
fn a_limit_that_is_set_and_taken_back_in_one_change_holds_for_nobody() {
    let upstream = limited(&[9]);
    let change = Change::new()
        .limit_in_flight(Some(most(1)))
        .add(member("b"))
        .limit_in_flight(None);
    upstream.apply(change).unwrap();
    let b = endpoint(&upstream, "b");
    let picks: Vec<Pick> = (0..5).map(|_| b.pick().unwrap()).collect();
    drop(picks);
    assert_eq!(upstream.in_flight(), 0);
}

#[test]
fn what_was_picked_before_there_was_a_limit_is_not_counted_towards_it() {
    let upstream = limited(&[9]);
    let before = endpoint(&upstream, "a").pick().unwrap();
    upstream
        .apply(Change::new().limit_in_flight(Some(most(1))))
        .unwrap();
    let after = endpoint(&upstream, "a").pick().unwrap();
    assert_eq!(upstream.in_flight(), 1);
    drop(before);
    assert_eq!(upstream.in_flight(), 1);
    drop(after);
    assert_eq!(upstream.in_flight(), 0);
}

#[tokio::test]
async fn freed_resolves_for_a_place_that_was_wanted_and_not_for_any() {
    let upstream = limited(&[2]);
    let a = endpoint(&upstream, "a");
    let (one, other) = (a.pick().unwrap(), a.pick().unwrap());
    let mut early = upstream.freed();
    drop(one);
    assert!(!is_ready(&mut early), "nobody had wanted it");
    let again = a.pick().unwrap();
    assert_eq!(a.pick().unwrap_err(), Refusal::Full);
    assert!(!is_ready(&mut early));
    drop(again);
    assert!(is_ready(&mut early));
    let mut later = upstream.freed();
    drop(other);
    assert!(!is_ready(&mut later), "it was told of once");
}

#[tokio::test]
async fn freed_resolves_after_every_change() {
    let upstream = limited(&[1]);
    let mut freed = upstream.freed();
    assert!(!is_ready(&mut freed));
    upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
    assert!(is_ready(&mut freed));
}

#[test]
fn on_trial_there_is_one_place_until_somebody_decides() {
    let upstream = limited(&[5]);
    upstream.apply(Change::new().eject(id("a"), "x")).unwrap();
    assert!(upstream.snapshot().available().is_empty());
    upstream
        .apply(Change::new().try_out(id("a"), "its time is over"))
        .unwrap();
    assert_eq!(upstream.snapshot().available(), [0]);
    let a = endpoint(&upstream, "a");
    let trial = a.pick().unwrap();
    assert!(!a.has_room());
    assert_eq!(a.pick().unwrap_err(), Refusal::Full);
    drop(trial);
    let _trial = a.pick().unwrap();
    upstream.apply(Change::new().restore(id("a"), "x")).unwrap();
    let picks: Vec<Pick> = (0..4).map(|_| a.pick().unwrap()).collect();
    assert_eq!(a.pick().unwrap_err(), Refusal::Full);
    drop(picks);
}

#[test]
fn a_member_without_a_limit_has_one_place_on_trial() {
    let upstream = Upstream::new("trial");
    upstream.apply(Change::new().add(member("a"))).unwrap();
    let a = endpoint(&upstream, "a");
    let before = a.pick().unwrap();
    let trial = Change::new().eject(id("a"), "x").try_out(id("a"), "x");
    upstream.apply(trial).unwrap();
    assert_eq!(a.pick().unwrap_err(), Refusal::Full);
    drop(before);
    let one = a.pick().unwrap();
    assert_eq!(a.pick().unwrap_err(), Refusal::Full);
    upstream.apply(Change::new().eject(id("a"), "x")).unwrap();
    drop(one);
    assert_eq!(a.record().in_flight(), 0);
    assert!(upstream.snapshot().available().is_empty());
}
