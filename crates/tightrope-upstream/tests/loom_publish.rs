//! Interleavings of writers, and of an update with those who pick.

use std::{sync::Arc, time::Duration};

use crate::models::{Published, check, endpoint, id, upstream};
use loom::{future::block_on, thread};
use tightrope_upstream::{Change, Weight};

#[test]
fn once_applied_nobody_picks_what_left_and_drained_counts_who_did() {
    check(5, || {
        let upstream = upstream(&["a"]);
        let a = endpoint(&upstream, "a");
        let reader = thread::spawn({
            let a = Arc::clone(&a);
            move || {
                let pick = a.pick();
                pick.is_ok()
            }
        });
        let update = upstream.apply(Change::new().remove(id("a"))).unwrap();
        block_on(update.applied());
        assert!(a.pick().is_err());
        let report = block_on(update.drained(Duration::MAX));
        assert!(report.is_complete());
        // Whatever the reader got has ended by now, and it gets nothing more.
        let ended = a.record().totals().cancelled;
        assert_eq!(u64::from(reader.join().unwrap()), ended);
    });
}

#[test]
fn two_writers_end_with_the_newest_published_and_both_applied() {
    check(5, || {
        let upstream = upstream(&["a", "b"]);
        let published = Published::follow(&upstream);
        let writer = thread::spawn({
            let upstream = upstream.clone();
            move || {
                let update = upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
                block_on(update.applied());
                assert!(endpoint(&upstream, "a").pick().is_err());
                update
            }
        });
        let change = Change::new().set_weight(id("b"), Weight::ZERO);
        let update = upstream.apply(change).unwrap();
        block_on(update.applied());
        assert!(endpoint(&upstream, "b").pick().is_err());
        let other = writer.join().unwrap();
        assert!(other.is_applied() && update.is_applied());
        assert_eq!(published.snapshot().generation(), 3);
        assert_eq!(published.builds_at_once(), 1);
    });
}

#[test]
fn a_follower_that_joins_meanwhile_misses_nothing() {
    check(5, || {
        let upstream = upstream(&["a", "b"]);
        let writer = thread::spawn({
            let upstream = upstream.clone();
            move || {
                upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
            }
        });
        let published = Published::follow(&upstream);
        writer.join().unwrap();
        assert_eq!(published.snapshot().generation(), 2);
        assert_eq!(published.builds_at_once(), 1);
    });
}

#[test]
fn what_comes_and_goes_between_two_writers_ends_closed() {
    check(5, || {
        let upstream = upstream(&["a"]);
        let writer = thread::spawn({
            let upstream = upstream.clone();
            move || {
                let change = Change::new().set_weight(id("a"), Weight::MAX);
                upstream.apply(change).unwrap();
            }
        });
        upstream
            .apply(Change::new().add(crate::models::member("b")))
            .unwrap();
        let b = endpoint(&upstream, "b");
        let update = upstream.apply(Change::new().remove(id("b"))).unwrap();
        block_on(update.applied());
        assert!(b.pick().is_err());
        writer.join().unwrap();
        assert!(endpoint(&upstream, "a").pick().is_ok());
    });
}
