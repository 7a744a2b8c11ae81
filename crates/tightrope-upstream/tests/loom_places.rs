//! Interleavings of taking a place, giving it back and closing the endpoint.

use crate::models::{PUBLISHED, check, endpoint, id, member, upstream};
use loom::thread;
use std::sync::Arc;
use tightrope_upstream::{Change, Endpoint, Refusal, Upstream};

#[test]
fn a_place_is_counted_once_while_the_endpoint_closes() {
    check(5, || {
        let upstream = upstream(&["a"]);
        let a = endpoint(&upstream, "a");
        let pickers: Vec<_> = (0..2)
            .map(|_| {
                let a = Arc::clone(&a);
                thread::spawn(move || a.pick().is_ok())
            })
            .collect();
        upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
        assert!(a.pick().is_err());
        let picked: u64 = pickers
            .into_iter()
            .map(|picker| u64::from(picker.join().unwrap()))
            .sum();
        assert_eq!(a.record().totals().cancelled, picked);
        assert_eq!(a.record().in_flight(), 0);
    });
}

#[test]
fn what_was_picked_before_the_endpoint_closed_stays_counted_after() {
    check(5, || {
        let upstream = upstream(&["a"]);
        let a = endpoint(&upstream, "a");
        let picker = thread::spawn({
            let a = Arc::clone(&a);
            move || a.pick()
        });
        upstream.apply(Change::new().remove(id("a"))).unwrap();
        let pick = picker.join().unwrap();
        assert_eq!(a.record().in_flight(), usize::from(pick.is_ok()));
        drop(pick);
        assert_eq!(a.record().in_flight(), 0);
    });
}

#[test]
fn who_is_refused_finds_a_newer_snapshot() {
    check(5, || {
        let upstream = upstream(&["a", "b"]);
        let published = crate::models::Published::follow(&upstream);
        let old = published.snapshot();
        let reader = thread::spawn({
            let published = Arc::clone(&published);
            move || {
                let generation = old.generation();
                if old.members()[0].pick().is_err() {
                    // Relaxed on purpose: the refusal itself must order this read.
                    let newest = published.generation.load(PUBLISHED);
                    assert!(newest > generation);
                    assert!(published.snapshot().get(&id("a")).is_none());
                }
            }
        });
        upstream.apply(Change::new().remove(id("a"))).unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn an_endpoint_that_comes_back_is_open_before_anybody_chooses_it() {
    check(5, || {
        let upstream = upstream(&["a", "b"]);
        upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
        let published = crate::models::Published::follow(&upstream);
        let reader = thread::spawn({
            let published = Arc::clone(&published);
            move || {
                let snapshot = published.snapshot();
                for &index in snapshot.available() {
                    assert!(snapshot.members()[index as usize].pick().is_ok());
                }
            }
        });
        upstream.apply(Change::new().undrain(id("a"), "x")).unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn two_never_share_the_last_place_and_one_of_them_gets_it() {
    check(5, || {
        let upstream = limited(1);
        let a = endpoint(&upstream, "a");
        let pickers: Vec<_> = (0..2)
            .map(|_| {
                let a = Arc::clone(&a);
                thread::spawn(move || a.pick().ok())
            })
            .collect();
        let picks: Vec<_> = pickers
            .into_iter()
            .map(|picker| picker.join().unwrap())
            .collect();
        assert_eq!(picks.iter().flatten().count(), 1);
        drop(picks);
        assert_eq!(a.record().in_flight(), 0);
        assert!(a.pick().is_ok());
    });
}

#[test]
fn who_finds_it_full_is_told_when_a_place_comes_free() {
    check(4, || {
        let upstream = limited(1);
        let a = endpoint(&upstream, "a");
        let held = a.pick().unwrap();
        let waiter = thread::spawn({
            let (a, upstream) = (Arc::clone(&a), upstream.clone());
            move || wait_for(&a, &upstream)
        });
        drop(held);
        waiter.join().unwrap();
        assert_eq!(a.record().in_flight(), 0);
    });
}

#[test]
fn a_trial_that_ends_lets_in_who_found_it_taken() {
    check(4, || {
        let upstream = upstream(&["a"]);
        let trial = Change::new().eject(id("a"), "x").try_out(id("a"), "x");
        upstream.apply(trial).unwrap();
        let a = endpoint(&upstream, "a");
        let held = a.pick().unwrap();
        let waiter = thread::spawn({
            let (a, upstream) = (Arc::clone(&a), upstream.clone());
            move || wait_for(&a, &upstream)
        });
        upstream.apply(Change::new().restore(id("a"), "x")).unwrap();
        waiter.join().unwrap();
        drop(held);
        assert_eq!(a.record().in_flight(), 0);
    });
}

fn limited(most: u32) -> Upstream {
    let upstream = Upstream::new("loom");
    let limited = member("a").with_max_in_flight(most.try_into().unwrap());
    upstream.apply(Change::new().add(limited)).unwrap();
    upstream
}

/// Waits until `endpoint` has room, takes it, and gives it back.
fn wait_for(endpoint: &Arc<Endpoint>, upstream: &Upstream) {
    loom::future::block_on(async {
        loop {
            let freed = upstream.freed();
            match endpoint.pick() {
                Ok(pick) => return drop(pick),
                Err(refusal) => assert_eq!(refusal, Refusal::Full),
            }
            freed.await;
        }
    });
}
