//! Interleavings of taking a place, giving it back and closing the endpoint.

use crate::models::{PUBLISHED, check, endpoint, id, upstream};
use loom::thread;
use std::sync::Arc;
use tightrope_upstream::Change;

#[test]
fn a_place_is_counted_once_while_the_endpoint_closes() {
    check(5, || {
        let upstream = upstream(&["a"]);
        let a = endpoint(&upstream, "a");
        let pickers: Vec<_> = (0..2)
            .map(|_| {
                let a = Arc::clone(&a);
                thread::spawn(move || a.pick().is_some())
            })
            .collect();
        upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
        assert!(a.pick().is_none());
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
        assert_eq!(a.record().in_flight(), usize::from(pick.is_some()));
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
                if old.members()[0].pick().is_none() {
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
                    assert!(snapshot.members()[index as usize].pick().is_some());
                }
            }
        });
        upstream.apply(Change::new().undrain(id("a"), "x")).unwrap();
        reader.join().unwrap();
    });
}
