//! Endpoints that come, or come back, have part of their weight at first.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use crate::members::{id, member};
use tightrope_upstream::{Change, Group, Health, Ramp, Upstream, Weight};
use tokio::time::{Instant, advance};

fn upstream(names: &[&str]) -> Upstream {
    let upstream = Upstream::new("ramps");
    let members = names.iter().map(|name| member(name));
    upstream.apply(Change::new().replace(members)).unwrap();
    upstream
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ramp(window: u64) -> Ramp {
    Ramp::new(seconds(window)).unwrap()
}

fn percents(upstream: &Upstream) -> Vec<u8> {
    let snapshot = upstream.snapshot();
    let indices = 0..snapshot.members().len();
    indices.map(|index| snapshot.ramp_percent(index)).collect()
}

#[tokio::test(start_paused = true)]
async fn who_joins_has_a_part_of_its_weight_and_all_of_it_after_the_window() {
    let upstream = upstream(&["a", "b"]);
    let _ramps = upstream.begin_ramps(ramp(60));
    assert_eq!(percents(&upstream), [100, 100]);
    upstream.apply(Change::new().add(member("c"))).unwrap();
    assert_eq!(percents(&upstream), [100, 100, 10]);
    let mut seen = Vec::new();
    while let Some(next) = upstream.advance_ramps() {
        assert_eq!(next.duration_since(Instant::now()), seconds(3));
        advance(seconds(3)).await;
        upstream.advance_ramps();
        seen.push(percents(&upstream)[2]);
    }
    let expected: Vec<u8> = (1..=20).map(|step| (step * 5).max(10)).collect();
    assert_eq!(seen, expected);
    assert!(!upstream.snapshot().has_ramps());
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_starts_slowly_whatever_kept_it_out() {
    let upstream = upstream(&["a", "b"]);
    let _ramps = upstream.begin_ramps(ramp(60));
    let b = || id("b");
    let ways = [
        (
            Change::new().set_health(b(), Health::Unhealthy, "x"),
            Change::new().set_health(b(), Health::Healthy, "x"),
        ),
        (
            Change::new().eject(b(), "x"),
            Change::new().restore(b(), "x"),
        ),
        (
            Change::new().drain(b(), "x"),
            Change::new().undrain(b(), "x"),
        ),
        (
            Change::new().set_weight(b(), Weight::ZERO),
            Change::new().set_weight(b(), Weight::ONE),
        ),
        (Change::new().remove(b()), Change::new().add(member("b"))),
    ];
    for (out, back) in ways {
        upstream.apply(out).unwrap();
        assert_eq!(upstream.snapshot().available(), [0]);
        upstream.apply(back).unwrap();
        assert_eq!(percents(&upstream), [100, 10]);
        advance(seconds(60)).await;
        assert_eq!(upstream.advance_ramps(), None);
        assert_eq!(percents(&upstream), [100, 100]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_broken_off_begins_anew() {
    let upstream = upstream(&["a", "b"]);
    let _ramps = upstream.begin_ramps(ramp(100));
    upstream.apply(Change::new().add(member("c"))).unwrap();
    advance(seconds(50)).await;
    // Other changes keep it, and bring it up to date.
    upstream
        .apply(Change::new().set_weight(id("a"), Weight::new(7).unwrap()))
        .unwrap();
    assert_eq!(percents(&upstream), [100, 100, 50]);
    upstream
        .apply(Change::new().set_health(id("c"), Health::Unhealthy, "x"))
        .unwrap();
    assert!(!upstream.snapshot().has_ramps());
    upstream
        .apply(Change::new().set_health(id("c"), Health::Healthy, "x"))
        .unwrap();
    assert_eq!(percents(&upstream), [100, 100, 10]);
}

#[tokio::test(start_paused = true)]
async fn all_who_are_new_at_once_start_with_all_of_their_weight() {
    let upstream = Upstream::new("new");
    let _ramps = upstream.begin_ramps(ramp(60));
    upstream
        .apply(Change::new().replace([member("a"), member("b")]))
        .unwrap();
    assert_eq!(percents(&upstream), [100, 100]);
    // Nor those who come back when nobody was left.
    let both = |health| {
        let change = Change::new().set_health(id("a"), health, "x");
        change.set_health(id("b"), health, "x")
    };
    upstream.apply(both(Health::Unhealthy)).unwrap();
    upstream.apply(both(Health::Healthy)).unwrap();
    assert_eq!(percents(&upstream), [100, 100]);
    // The first to come back is alone, the second is not.
    upstream.apply(both(Health::Unhealthy)).unwrap();
    for name in ["a", "b"] {
        upstream
            .apply(Change::new().set_health(id(name), Health::Healthy, "x"))
            .unwrap();
    }
    assert_eq!(percents(&upstream), [100, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_takes_over_takes_all() {
    let (blue, green) = (Group::new("blue").unwrap(), Group::new("green").unwrap());
    let upstream = Upstream::new("groups");
    let change = Change::new()
        .add(member("a").with_group(blue.clone()))
        .add(member("b").with_group(green.clone()))
        .activate(blue);
    upstream.apply(change).unwrap();
    let _ramps = upstream.begin_ramps(ramp(60));
    upstream.apply(Change::new().activate(green)).unwrap();
    assert_eq!(percents(&upstream), [100, 100]);
}

#[tokio::test(start_paused = true)]
async fn when_it_ends_everybody_has_all_and_the_newest_counts() {
    let upstream = upstream(&["a"]);
    let first = upstream.begin_ramps(ramp(60));
    upstream.apply(Change::new().add(member("b"))).unwrap();
    let second = upstream.begin_ramps(ramp(600));
    assert_eq!(percents(&upstream), [100, 10]);
    drop(first);
    assert_eq!(percents(&upstream), [100, 10]);
    advance(seconds(120)).await;
    upstream.advance_ramps();
    assert_eq!(percents(&upstream), [100, 20]);
    drop(second);
    assert_eq!(percents(&upstream), [100, 100]);
    upstream.apply(Change::new().add(member("c"))).unwrap();
    assert_eq!(percents(&upstream), [100, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn weights_are_scaled_so_that_parts_of_them_are_whole() {
    let weight = |n| Weight::new(n).unwrap();
    let upstream = Upstream::new("weights");
    let members = [
        member("a").with_weight(weight(3)),
        member("b").with_weight(Weight::ZERO),
    ];
    upstream.apply(Change::new().replace(members)).unwrap();
    let snapshot = upstream.snapshot();
    assert!(std::sync::Arc::ptr_eq(&snapshot, &snapshot.ramped()));
    let _ramps = upstream.begin_ramps(ramp(60));
    let large = member("d").with_weight(weight(60_000));
    let join = Change::new().add(member("c"));
    upstream.apply(join).unwrap();
    let weights = || -> Vec<u32> {
        let ramped = upstream.snapshot().ramped();
        ramped
            .members()
            .iter()
            .map(|member| member.weight().get())
            .collect()
    };
    assert_eq!(weights(), [300, 0, 10]);
    // The weight that was configured stays.
    assert_eq!(upstream.snapshot().members()[2].weight(), Weight::ONE);
    upstream.apply(Change::new().add(large)).unwrap();
    assert_eq!(weights(), [3, 0, 1, 6_000]);
}

#[tokio::test(start_paused = true)]
async fn a_step_is_no_event_and_no_new_layout() {
    let upstream = upstream(&["a"]);
    let _ramps = upstream.begin_ramps(ramp(60));
    upstream.apply(Change::new().add(member("b"))).unwrap();
    let before = upstream.snapshot();
    let mut events = upstream.events();
    advance(seconds(30)).await;
    upstream.advance_ramps();
    let after = upstream.snapshot();
    assert_eq!(after.generation(), before.generation() + 1);
    assert_eq!(after.layout_generation(), before.layout_generation());
    upstream.apply(Change::new().drain(id("b"), "x")).unwrap();
    let first = events.next().await.unwrap().unwrap();
    assert_eq!(first.generation, after.generation() + 1);
    // Nothing changed, nothing is published.
    let still = upstream.snapshot().generation();
    upstream.advance_ramps();
    assert_eq!(upstream.snapshot().generation(), still);
}
