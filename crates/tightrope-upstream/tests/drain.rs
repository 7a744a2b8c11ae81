//! `drained` waits for the last attempt, and says what was left.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use crate::members::{id, member};
use tightrope_upstream::{Change, Endpoint, Group, Upstream};
use tokio::{
    task::yield_now,
    time::{Instant, advance, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

fn upstream() -> Upstream {
    let upstream = Upstream::new("shop");
    let members = ["a", "b", "c"].map(member);
    upstream.apply(Change::new().replace(members)).unwrap();
    upstream
}

fn endpoint(upstream: &Upstream, name: &str) -> Arc<Endpoint> {
    Arc::clone(upstream.snapshot().get(&id(name)).unwrap().0)
}

#[tokio::test(start_paused = true)]
async fn drained_waits_for_the_last_attempt() {
    let upstream = upstream();
    let a = endpoint(&upstream, "a");
    let picks = [a.pick().unwrap(), a.pick().unwrap(), a.pick().unwrap()];
    let update = upstream.apply(Change::new().remove(id("a"))).unwrap();
    let drained = tokio::spawn(async move { update.drained(Duration::MAX).await });
    yield_now().await;
    for pick in picks {
        advance(SECOND).await;
        assert!(!drained.is_finished());
        drop(pick);
    }
    let report = drained.await.unwrap();
    assert!(report.is_complete());
    assert!(report.resumed.is_empty());
    assert_eq!(report.took, 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn drained_resolves_at_once_with_nothing_in_flight() {
    let upstream = upstream();
    for change in [
        Change::new().drain(id("a"), "x"),
        Change::new().remove(id("b")),
        Change::new(),
        Change::new().replace([]),
    ] {
        let report = upstream
            .apply(change)
            .unwrap()
            .drained(Duration::ZERO)
            .await;
        assert!(report.is_complete());
        assert_eq!(report.took, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_reports_what_is_left() {
    let upstream = upstream();
    let held: Vec<_> = ["a", "b", "b", "c"]
        .iter()
        .map(|name| endpoint(&upstream, name).pick().unwrap())
        .collect();
    let update = upstream
        .apply(Change::new().replace([member("c")]))
        .unwrap();
    let report = update.drained(5 * SECOND).await;
    assert!(!report.is_complete());
    assert_eq!(report.remaining, [(id("a"), 1), (id("b"), 2)]);
    assert_eq!(report.took, 5 * SECOND);
    drop(held);
    assert!(update.drained(Duration::ZERO).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_later_update_that_resumes_the_endpoint_ends_the_wait() {
    let upstream = upstream();
    let (blue, green) = (Group::new("blue").unwrap(), Group::new("green").unwrap());
    let change = Change::new()
        .set_group(id("a"), Some(blue.clone()))
        .set_group(id("b"), Some(green.clone()));
    upstream.apply(change.activate(blue.clone())).unwrap();
    let pick = endpoint(&upstream, "a").pick().unwrap();
    let update = upstream.apply(Change::new().activate(green)).unwrap();
    let drained = tokio::spawn(async move { update.drained(9 * SECOND).await });
    yield_now().await;
    advance(SECOND).await;
    upstream.apply(Change::new().activate(blue)).unwrap();
    let report = drained.await.unwrap();
    assert_eq!(report.resumed, [id("a")]);
    assert_eq!(report.took, SECOND);
    drop(pick);
}

#[tokio::test(start_paused = true)]
async fn an_idle_endpoint_that_was_resumed_is_not_called_drained() {
    let upstream = upstream();
    let update = upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
    upstream.apply(Change::new().undrain(id("a"), "x")).unwrap();
    let report = update.drained(SECOND).await;
    assert_eq!(report.resumed, [id("a")]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_endpoint_that_comes_back_in_flight_counts_as_resumed() {
    let upstream = upstream();
    let pick = endpoint(&upstream, "a").pick().unwrap();
    let update = upstream.apply(Change::new().remove(id("a"))).unwrap();
    upstream.apply(Change::new().add(member("a"))).unwrap();
    assert_eq!(update.drained(SECOND).await.resumed, [id("a")]);
    drop(pick);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_left_twice_is_waited_for() {
    let upstream = upstream();
    let pick = endpoint(&upstream, "a").pick().unwrap();
    let first = upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
    let second = upstream.apply(Change::new().remove(id("a"))).unwrap();
    assert!(second.leaving().is_empty());
    assert_eq!(first.drained(SECOND).await.remaining, [(id("a"), 1)]);
    drop(pick);
    assert!(first.drained(SECOND).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_wait_undoes_nothing_and_it_can_be_asked_for_again() {
    let upstream = upstream();
    let pick = endpoint(&upstream, "a").pick().unwrap();
    let update = upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
    for _ in 0..3 {
        assert!(
            timeout(SECOND, update.drained(Duration::MAX))
                .await
                .is_err()
        );
    }
    let (one, two) = (update.clone(), update.clone());
    let one = tokio::spawn(async move { one.drained(Duration::MAX).await });
    let two = tokio::spawn(async move { two.drained(9 * SECOND).await });
    advance(SECOND).await;
    drop(pick);
    assert!(one.await.unwrap().is_complete());
    assert!(two.await.unwrap().is_complete());
    assert!(update.drained(Duration::ZERO).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn no_refused_pick_keeps_a_wait_from_ending() {
    let upstream = upstream();
    let a = endpoint(&upstream, "a");
    let pick = a.pick().unwrap();
    let update = upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
    let waiting = Arc::clone(&a);
    let drained = tokio::spawn(async move { update.drained(Duration::MAX).await });
    advance(SECOND).await;
    for _ in 0..100 {
        assert!(waiting.pick().is_err());
    }
    assert!(!drained.is_finished());
    drop(pick);
    assert!(drained.await.unwrap().is_complete());
}

#[tokio::test(start_paused = true)]
async fn the_wait_goes_on_without_the_upstream() {
    let upstream = upstream();
    let pick = endpoint(&upstream, "a").pick().unwrap();
    let update = upstream.apply(Change::new().remove(id("a"))).unwrap();
    drop(upstream);
    update.applied().await;
    let begun = Instant::now();
    assert_eq!(update.drained(SECOND).await.remaining, [(id("a"), 1)]);
    drop(pick);
    assert!(update.drained(SECOND).await.is_complete());
    assert_eq!(begun.elapsed(), SECOND);
}
