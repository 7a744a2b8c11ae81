//! No number of endpoints panics.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use crate::members::{id, member};
use tightrope_upstream::{
    Address, Change, EndpointId, EndpointSpec, Group, Health, Upstream, Weight,
};

fn numbered(n: u32) -> EndpointSpec {
    let [_, a, b, c] = n.to_be_bytes();
    let socket = SocketAddr::from(([10, a, b, c], 80));
    EndpointSpec::new(Address::try_from(socket).unwrap())
}

fn number(n: u32) -> EndpointId {
    numbered(n).id
}

#[test]
fn an_upstream_may_have_ten_thousand_members() {
    let count = 10_000;
    let upstream = Upstream::new("large");
    let add = (0..count).fold(Change::new(), |change, n| change.add(numbered(n)));
    upstream.apply(add).unwrap();
    assert_eq!(upstream.snapshot().available().len(), count as usize);

    let verdicts = (0..count).step_by(2).fold(Change::new(), |change, n| {
        change.set_health(number(n), Health::Unhealthy, "probe")
    });
    upstream.apply(verdicts).unwrap();
    assert_eq!(upstream.snapshot().available().len(), count as usize / 2);

    let weightless = (0..count).fold(Change::new(), |change, n| {
        change.set_weight(number(n), Weight::ZERO)
    });
    let update = upstream.apply(weightless).unwrap();
    assert_eq!(update.leaving().len(), count as usize);
    assert!(upstream.snapshot().available().is_empty());

    let backwards = (0..count).rev().map(numbered);
    upstream.apply(Change::new().replace(backwards)).unwrap();
    let snapshot = upstream.snapshot();
    assert_eq!(snapshot.members()[0].id(), &number(count - 1));
    assert_eq!(snapshot.available().len(), count as usize / 2);

    let remove = (0..count).fold(Change::new(), |change, n| change.remove(number(n)));
    upstream.apply(remove).unwrap();
    assert!(upstream.snapshot().members().is_empty());
}

#[test]
fn an_upstream_may_have_a_hundred_thousand_members() {
    let count = 100_000;
    let upstream = Upstream::new("huge");
    upstream
        .apply(Change::new().replace((0..count).map(numbered)))
        .unwrap();
    let last = number(count - 1);
    let blue = Group::new("blue").unwrap();
    upstream
        .apply(
            Change::new()
                .drain(number(0), "x")
                .set_group(last.clone(), Some(blue.clone())),
        )
        .unwrap();
    assert_eq!(upstream.snapshot().available().len(), count as usize - 1);
    let update = upstream.apply(Change::new().activate(blue)).unwrap();
    assert_eq!(update.leaving().len(), count as usize - 2);
    assert_eq!(upstream.snapshot().available(), [count - 1]);
    let pick = upstream.snapshot().get(&last).unwrap().0.pick();
    assert!(pick.is_ok());
    assert!(upstream.snapshot().members()[0].pick().is_err());
}

#[test]
fn an_upstream_may_run_empty_and_fill_again() {
    let upstream = Upstream::new("empty");
    for _ in 0..3 {
        upstream.apply(Change::new().add(member("a"))).unwrap();
        let update = upstream.apply(Change::new().replace([])).unwrap();
        assert_eq!(update.leaving()[0].id(), &id("a"));
        assert!(upstream.snapshot().candidates().is_empty());
        assert!(upstream.snapshot().ignoring_health().available().is_empty());
    }
}
