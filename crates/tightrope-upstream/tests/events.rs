//! Observers are told what changed, in order, and never hold up a writer.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use crate::members::{id, member};
use tightrope_upstream::{
    Admin, Change, Ejection, Event, EventKind, Events, Group, Health, Missed, Upstream, Weight,
};

async fn next(events: &mut Events, count: usize) -> Vec<(u64, EventKind)> {
    let mut told = Vec::new();
    for _ in 0..count {
        let Event {
            generation, kind, ..
        } = events.next().await.unwrap().unwrap();
        told.push((generation, kind));
    }
    told
}

#[tokio::test]
async fn every_kind_of_change_is_told_with_its_reason() {
    let upstream = Upstream::new("shop");
    let mut events = upstream.events();
    let blue = Group::new("blue").unwrap();
    let endpoint = || id("a");
    let steps = [
        (
            Change::new().add(member("a").with_group(blue.clone())),
            EventKind::Added {
                endpoint: endpoint(),
            },
        ),
        (
            Change::new().set_weight(endpoint(), Weight::MAX),
            EventKind::Changed {
                endpoint: endpoint(),
            },
        ),
        (
            Change::new().activate(blue.clone()),
            EventKind::Activated { group: Some(blue) },
        ),
        (
            Change::new().activate_all(),
            EventKind::Activated { group: None },
        ),
        (
            Change::new().drain(endpoint(), "by hand"),
            EventKind::Admin {
                endpoint: endpoint(),
                admin: Admin::Draining,
                reason: "by hand".into(),
            },
        ),
        (
            Change::new().undrain(endpoint(), "done"),
            EventKind::Admin {
                endpoint: endpoint(),
                admin: Admin::Active,
                reason: "done".into(),
            },
        ),
        (
            Change::new().set_health(endpoint(), Health::Unhealthy, "probe: refused"),
            EventKind::Health {
                endpoint: endpoint(),
                health: Health::Unhealthy,
                reason: "probe: refused".into(),
            },
        ),
        (
            Change::new().eject(endpoint(), String::from("5 in a row")),
            EventKind::Ejection {
                endpoint: endpoint(),
                ejection: Ejection::Ejected,
                reason: "5 in a row".into(),
            },
        ),
        (
            Change::new().restore(endpoint(), "30 s passed"),
            EventKind::Ejection {
                endpoint: endpoint(),
                ejection: Ejection::In,
                reason: "30 s passed".into(),
            },
        ),
        (
            Change::new().remove(endpoint()),
            EventKind::Removed {
                endpoint: endpoint(),
            },
        ),
    ];
    for (number, (change, expected)) in (1..).zip(steps) {
        upstream.apply(change).unwrap();
        assert_eq!(next(&mut events, 1).await, [(number, expected)]);
    }
    drop(upstream);
    assert_eq!(events.next().await, Ok(None));
}

#[tokio::test]
async fn one_change_tells_members_first_then_verdicts_then_the_group() {
    let upstream = Upstream::new("shop");
    upstream
        .apply(Change::new().replace(["a", "b", "c"].map(member)))
        .unwrap();
    let mut events = upstream.events();
    let blue = Group::new("blue").unwrap();
    upstream
        .apply(
            Change::new()
                .activate(blue.clone())
                .set_health(id("c"), Health::Unhealthy, "probe")
                .drain(id("b"), "by hand")
                .drain(id("a"), "leaves anyway")
                .remove(id("a"))
                .add(member("d"))
                .set_group(id("c"), Some(blue.clone())),
        )
        .unwrap();
    let told = next(&mut events, 6).await;
    let expected = [
        EventKind::Changed { endpoint: id("c") },
        EventKind::Added { endpoint: id("d") },
        EventKind::Removed { endpoint: id("a") },
        EventKind::Health {
            endpoint: id("c"),
            health: Health::Unhealthy,
            reason: "probe".into(),
        },
        EventKind::Admin {
            endpoint: id("b"),
            admin: Admin::Draining,
            reason: "by hand".into(),
        },
        EventKind::Activated { group: Some(blue) },
    ];
    assert_eq!(told, expected.map(|kind| (2, kind)));
}

#[tokio::test]
async fn a_slow_observer_is_told_how_much_it_missed_and_never_blocks_the_writer() {
    let upstream = Upstream::new("shop");
    upstream.apply(Change::new().add(member("a"))).unwrap();
    let (mut slow, mut late) = (upstream.events(), upstream.events());
    let extra = 10;
    for n in 0..Events::CAPACITY + extra {
        let weight = Weight::from(u16::try_from(n % 2).unwrap());
        upstream
            .apply(Change::new().set_weight(id("a"), weight))
            .unwrap();
    }
    let missed = slow.next().await.unwrap_err();
    assert_eq!(
        missed,
        Missed {
            count: extra as u64
        }
    );
    assert_eq!(missed.to_string(), "missed 10 events");
    let rest = next(&mut slow, Events::CAPACITY).await;
    assert_eq!(rest.first().unwrap().0, 2 + extra as u64);
    assert_eq!(rest.last().unwrap().0, upstream.snapshot().generation());
    // One large change is no different.
    let many = (0..5_000).map(|n| member(&format!("m{n}")));
    upstream.apply(Change::new().replace(many)).unwrap();
    assert!(slow.next().await.is_err());
    assert!(late.next().await.is_err());
}

#[tokio::test]
async fn who_asks_later_is_told_only_what_comes_later() {
    let upstream = Upstream::new("shop");
    upstream.apply(Change::new().add(member("a"))).unwrap();
    let mut events = upstream.events();
    upstream.apply(Change::new().add(member("a"))).unwrap_err();
    upstream.apply(Change::new().add(member("b"))).unwrap();
    let added = EventKind::Added { endpoint: id("b") };
    assert_eq!(next(&mut events, 1).await, [(2, added)]);
}
