//! A pick holds its place until it is dropped, however that happens, and a closed endpoint has none.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Barrier},
    thread,
};

use crate::members::{id, member};
use tightrope_upstream::{
    Change, Endpoint, Failed, Failure, Outcome, Pick, PickError, Picked, Upstream, Weight,
};

fn one() -> (Upstream, Arc<Endpoint>) {
    let upstream = Upstream::new("shop");
    upstream.apply(Change::new().add(member("a"))).unwrap();
    let endpoint = Arc::clone(&upstream.snapshot().members()[0]);
    (upstream, endpoint)
}

#[test]
fn a_pick_takes_one_place_until_it_is_dropped() {
    let (_upstream, endpoint) = one();
    let record = endpoint.record();
    let first = endpoint.pick().unwrap();
    let second = endpoint.pick().unwrap();
    assert_eq!(record.in_flight(), 2);
    drop(first);
    assert_eq!(record.in_flight(), 1);
    drop(second);
    assert_eq!(record.in_flight(), 0);
    assert_eq!(record.totals().cancelled, 2);
}

#[test]
fn an_answer_that_is_not_read_to_its_end_stays_a_failure_if_it_is_one() {
    let (_upstream, endpoint) = one();
    for answer in [Outcome::Failure(Failure::Gateway), Outcome::Success] {
        endpoint.pick().unwrap().answered(answer);
    }
    let totals = endpoint.record().totals();
    assert_eq!(
        (totals.failed, totals.succeeded, totals.cancelled),
        (1, 0, 1)
    );
}

#[test]
fn a_request_keeps_its_pick_through_every_conversion() {
    let (_upstream, endpoint) = one();
    let mut picked = Picked::new("request", endpoint.pick().unwrap());
    *picked.request_mut() = "other";
    assert_eq!(picked.request(), &"other");
    assert!(Arc::ptr_eq(picked.endpoint(), &endpoint));
    let picked = picked.map(str::len);
    assert_eq!(endpoint.record().in_flight(), 1);
    let (request, pick) = picked.into_parts();
    assert_eq!(request, 5);
    assert_eq!(endpoint.record().in_flight(), 1);
    drop(pick);
    assert_eq!(endpoint.record().in_flight(), 0);
}

#[test]
fn a_panic_gives_the_place_back() {
    let (_upstream, endpoint) = one();
    let held = |pick: Pick| {
        let _picked = Picked::new((), pick);
        panic!("service");
    };
    for _ in 0..3 {
        let pick = endpoint.pick().unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| held(pick))).is_err());
    }
    let picked = Picked::new((), endpoint.pick().unwrap());
    let mapped = catch_unwind(AssertUnwindSafe(|| picked.map(|()| panic!("map"))));
    assert!(mapped.is_err());
    assert_eq!(endpoint.record().in_flight(), 0);
    assert_eq!(endpoint.record().totals().cancelled, 4);
}

#[test]
fn an_endpoint_out_of_service_refuses_who_holds_an_old_snapshot() {
    let (upstream, endpoint) = one();
    let out_and_in = [
        (
            Change::new().drain(id("a"), "x"),
            Change::new().undrain(id("a"), "x"),
        ),
        (
            Change::new().set_weight(id("a"), Weight::ZERO),
            Change::new().set_weight(id("a"), Weight::ONE),
        ),
        (
            Change::new()
                .add(member("b").with_group("blue".parse().unwrap()))
                .activate("blue".parse().unwrap()),
            Change::new().activate_all(),
        ),
    ];
    for (out, back) in out_and_in {
        upstream.apply(out).unwrap();
        assert!(endpoint.pick().is_err());
        assert_eq!(endpoint.record().in_flight(), 0);
        upstream.apply(back).unwrap();
        assert!(endpoint.pick().is_ok());
    }
    upstream.apply(Change::new().remove(id("a"))).unwrap();
    assert!(endpoint.pick().is_err());
    // A refused pick is nobody's outcome.
    assert_eq!(endpoint.record().totals().cancelled, 3);
}

#[test]
fn what_joins_out_of_service_is_closed() {
    let upstream = Upstream::new("shop");
    upstream
        .apply(Change::new().add(member("a").with_weight(Weight::ZERO)))
        .unwrap();
    assert!(upstream.snapshot().members()[0].pick().is_err());
}

#[test]
fn no_place_is_lost_between_threads() {
    let (upstream, endpoint) = one();
    let (threads, rounds) = (8, 500);
    let start = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                for _ in 0..rounds {
                    if let Ok(mut pick) = endpoint.pick() {
                        pick.set_outcome(Outcome::Success);
                    }
                }
            });
        }
        start.wait();
        for _ in 0..100 {
            upstream.apply(Change::new().drain(id("a"), "x")).unwrap();
            upstream.apply(Change::new().undrain(id("a"), "x")).unwrap();
        }
    });
    let record = endpoint.record();
    assert_eq!(record.in_flight(), 0);
    assert!(record.totals().succeeded <= (threads * rounds) as u64);
    assert_eq!(record.totals().cancelled, 0);
}

#[test]
fn a_failed_pick_says_why() {
    let cases = [
        (PickError::Empty, "upstream has no endpoints"),
        (
            PickError::Unavailable { members: 3 },
            "none of the 3 endpoints is available",
        ),
        (
            PickError::Exhausted { available: 2 },
            "all 2 available endpoints were tried",
        ),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.failure(), Failure::Unavailable);
        assert!(error.failure().never_sent());
    }
}
