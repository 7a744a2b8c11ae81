//! The record of an endpoint survives every update that keeps its id.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{sync::Arc, time::Duration};

use crate::members::{id, member};
use tightrope_upstream::{Change, Failure, Group, Health, Metadata, Outcome, Upstream, Weight};

fn upstream() -> Upstream {
    let upstream = Upstream::new("shop");
    upstream
        .apply(Change::new().replace([member("a"), member("b")]))
        .unwrap();
    upstream
}

#[test]
fn a_record_survives_every_update_that_keeps_the_id() {
    let upstream = upstream();
    let first = Arc::clone(upstream.snapshot().members()[0].record());
    let pick = upstream.snapshot().members()[0].pick().unwrap();
    let moved = "10.9.9.9:99".parse().unwrap();
    let blue = Group::new("blue").unwrap();
    let changes = [
        Change::new().set_weight(id("a"), Weight::from(9)),
        Change::new().set_group(id("a"), Some(blue.clone())),
        Change::new().set_metadata(id("a"), Metadata::from_iter([("zone", "1")])),
        Change::new().activate(blue),
        Change::new().activate_all(),
        Change::new().drain(id("a"), "x"),
        Change::new().undrain(id("a"), "x"),
        Change::new().set_health(id("a"), Health::Unhealthy, "x"),
        Change::new().replace([member("c"), member("a")]),
        Change::new().replace([tightrope_upstream::EndpointSpec::new(moved).with_id(id("a"))]),
    ];
    for change in changes {
        upstream.apply(change).unwrap();
        let snapshot = upstream.snapshot();
        let (a, _) = snapshot.get(&id("a")).unwrap();
        assert!(Arc::ptr_eq(a.record(), &first));
        assert_eq!(a.record().in_flight(), 1);
    }
    drop(pick);
    assert_eq!(first.in_flight(), 0);
}

#[test]
fn an_old_snapshot_does_not_change_under_its_reader() {
    let upstream = upstream();
    let old = upstream.snapshot();
    upstream
        .apply(
            Change::new()
                .set_weight(id("a"), Weight::ZERO)
                .drain(id("b"), "x")
                .add(member("c")),
        )
        .unwrap();
    assert_eq!(old.members().len(), 2);
    assert_eq!(old.members()[0].weight(), Weight::ONE);
    assert_eq!(old.available(), [0, 1]);
}

#[test]
fn a_member_that_comes_back_while_attempts_are_in_flight_resumes_its_record() {
    let upstream = upstream();
    let serial = upstream.snapshot().members()[0].record().serial();
    let mut pick = upstream.snapshot().members()[0].pick().unwrap();
    upstream
        .apply(
            Change::new()
                .set_health(id("a"), Health::Unhealthy, "probe")
                .drain(id("a"), "rollout"),
        )
        .unwrap();
    upstream.apply(Change::new().remove(id("a"))).unwrap();
    upstream.apply(Change::new().add(member("c"))).unwrap();
    upstream.apply(Change::new().add(member("a"))).unwrap();

    let snapshot = upstream.snapshot();
    let record = snapshot.get(&id("a")).unwrap().0.record();
    assert_eq!(record.serial(), serial);
    assert_eq!(record.in_flight(), 1);
    assert_eq!(record.status().health.value(), Health::Unhealthy);
    assert_eq!(record.status().admin.reason().as_str(), "added");
    pick.set_outcome(Outcome::Failure(Failure::Reset));
    drop(pick);
    assert_eq!(record.totals().failed, 1);
}

#[test]
fn a_member_that_comes_back_after_everything_ended_starts_anew() {
    let upstream = upstream();
    // Who holds an old snapshot, update or endpoint does not make a difference.
    let old = upstream.snapshot();
    let pick = old.members()[0].pick().unwrap();
    upstream
        .apply(Change::new().set_health(id("a"), Health::Unhealthy, "probe"))
        .unwrap();
    let update = upstream.apply(Change::new().remove(id("a"))).unwrap();
    drop(pick);
    upstream.apply(Change::new().add(member("a"))).unwrap();

    let snapshot = upstream.snapshot();
    let record = snapshot.get(&id("a")).unwrap().0.record();
    assert_ne!(record.serial(), old.members()[0].record().serial());
    assert_eq!(record.status().health.value(), Health::Healthy);
    assert_eq!(record.totals(), tightrope_upstream::Totals::default());
    assert_eq!(update.leaving()[0].record().totals().cancelled, 1);
    assert!(old.members()[0].pick().is_err());
}

#[test]
fn outcomes_are_counted_once_each() {
    let upstream = upstream();
    let endpoint = Arc::clone(&upstream.snapshot().members()[0]);
    for (outcome, times) in [
        (Some(Outcome::Success), 3),
        (Some(Outcome::Failure(Failure::Response)), 2),
        (Some(Outcome::Cancelled), 1),
        (None, 4),
    ] {
        for _ in 0..times {
            let mut pick = endpoint.pick().unwrap();
            pick.set_outcome(Outcome::Success);
            pick.set_outcome(outcome.unwrap_or(Outcome::Cancelled));
        }
    }
    let totals = endpoint.record().totals();
    assert_eq!(
        (totals.succeeded, totals.failed, totals.cancelled),
        (3, 2, 5)
    );
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_stays_keeps_its_reason_and_age() {
    let upstream = upstream();
    let record = Arc::clone(upstream.snapshot().members()[0].record());
    let eject = |reason| {
        upstream
            .apply(Change::new().eject(id("a"), reason))
            .unwrap()
    };
    eject("first");
    tokio::time::advance(Duration::from_secs(3)).await;
    eject("second");
    let ejection = record.status().ejection;
    assert_eq!(ejection.reason().as_str(), "first");
    assert_eq!(ejection.age(), Duration::from_secs(3));
}

#[test]
fn no_two_records_share_a_serial() {
    let (one, two) = (upstream(), upstream());
    let mut serials: Vec<u64> = [one, two]
        .iter()
        .flat_map(|upstream| {
            let snapshot = upstream.snapshot();
            let members = snapshot.members().iter();
            members.map(|m| m.record().serial()).collect::<Vec<_>>()
        })
        .collect();
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), 4);
}
