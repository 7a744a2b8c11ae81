//! Interleavings of the last release, of closing and reopening, and of those who wait for them.

use std::{sync::Arc, time::Duration};

use crate::models::{check, endpoint, id, upstream};
use loom::{future::block_on, thread};
use tightrope_upstream::Change;

#[test]
fn the_last_release_wakes_who_waits_for_it() {
    check(3, || {
        let upstream = upstream(&["a"]);
        let a = endpoint(&upstream, "a");
        let picks = [a.pick().unwrap(), a.pick().unwrap()];
        let update = upstream.apply(Change::new().remove(id("a"))).unwrap();
        let holders: Vec<_> = picks
            .into_iter()
            .map(|pick| thread::spawn(move || drop(pick)))
            .collect();
        let report = block_on(update.drained(Duration::MAX));
        assert!(report.is_complete() && report.resumed.is_empty());
        assert_eq!(a.record().totals().cancelled, 2);
        for holder in holders {
            holder.join().unwrap();
        }
    });
}

#[test]
fn two_who_wait_are_both_woken() {
    check(2, || {
        let upstream = upstream(&["a"]);
        let pick = endpoint(&upstream, "a").pick();
        let update = upstream.apply(Change::new().remove(id("a"))).unwrap();
        let waiter = thread::spawn({
            let update = update.clone();
            move || block_on(update.drained(Duration::MAX))
        });
        let holder = thread::spawn(move || drop(pick));
        assert!(block_on(update.drained(Duration::MAX)).is_complete());
        assert!(waiter.join().unwrap().is_complete());
        holder.join().unwrap();
    });
}

#[test]
fn a_refused_pick_that_is_the_last_to_let_go_wakes_who_waits() {
    check(5, || {
        let upstream = upstream(&["a"]);
        let a = endpoint(&upstream, "a");
        let pick = a.pick().unwrap();
        let update = upstream.apply(Change::new().remove(id("a"))).unwrap();
        let late = thread::spawn({
            let a = Arc::clone(&a);
            move || assert!(a.pick().is_err())
        });
        let holder = thread::spawn(move || drop(pick));
        assert!(block_on(update.drained(Duration::MAX)).is_complete());
        late.join().unwrap();
        holder.join().unwrap();
    });
}

#[test]
fn an_endpoint_that_is_put_back_into_service_ends_the_wait() {
    check(5, || {
        let upstream = upstream(&["a"]);
        let pick = endpoint(&upstream, "a").pick();
        let update = upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
        let writer = thread::spawn({
            let upstream = upstream.clone();
            move || {
                upstream.apply(Change::new().undrain(id("a"), "x")).unwrap();
            }
        });
        let report = block_on(update.drained(Duration::MAX));
        assert_eq!(report.resumed, [id("a")]);
        writer.join().unwrap();
        drop(pick);
    });
}
