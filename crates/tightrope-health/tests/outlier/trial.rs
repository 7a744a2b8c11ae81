//! After an ejection one attempt decides.

use tightrope_health::{
    HealthCheck, Listen, Listening, Probe,
    outlier::{Detector, OutlierDetection},
    probe::ProbeFuture,
};
use tightrope_upstream::{Change, Ejection, Endpoint, Health, Outcome, Refusal};
use tokio::time::sleep;

use super::world::{FAILED, SECOND, World, id, settle};

fn ejection(world: &World, n: usize) -> Ejection {
    world.endpoint(n).record().status().ejection.value()
}

/// So many endpoints, of which the first was ejected and is on trial now.
async fn on_trial(count: usize) -> World {
    let world = World::new(count, |detection| detection);
    world.reports(0, FAILED, 5).await;
    world.until_restored(0).await;
    assert_eq!(ejection(&world, 0), Ejection::OnTrial);
    world
}

#[tokio::test(start_paused = true)]
async fn exactly_one_attempt_goes_until_it_ends() {
    let world = on_trial(3).await;
    assert_eq!(world.upstream.snapshot().available(), [0, 1, 2]);
    let endpoint = world.endpoint(0);
    for outcome in [Outcome::Cancelled, Outcome::Cancelled, Outcome::Success] {
        let mut pick = endpoint.pick().unwrap();
        let watched = world.task.reports().begin(&endpoint);
        assert_eq!(endpoint.pick().unwrap_err(), Refusal::Full);
        sleep(SECOND).await;
        assert_eq!(endpoint.pick().unwrap_err(), Refusal::Full);
        // Who gives up tells nothing, and the next one decides.
        assert_eq!(ejection(&world, 0), Ejection::OnTrial);
        pick.set_outcome(outcome);
        watched.end(outcome);
        drop(pick);
        settle().await;
    }
    assert_eq!(ejection(&world, 0), Ejection::In);
    assert_eq!(world.reason(0), "it succeeded on trial");
    let picks: Vec<_> = (0..9).map(|_| endpoint.pick().unwrap()).collect();
    drop(picks);
}

#[tokio::test(start_paused = true)]
async fn a_failure_on_trial_ejects_for_longer() {
    let world = on_trial(3).await;
    world.reports(0, FAILED, 1).await;
    assert_eq!(ejection(&world, 0), Ejection::Ejected);
    assert_eq!(
        world.reason(0),
        "failed on trial: failure response; for 60s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_fails_and_is_spared_ends_all_the_same() {
    let world = World::new(3, |detection| {
        detection
            .with_enforcement(Detector::Probation, 0.0)
            .unwrap()
    });
    world.reports(0, FAILED, 5).await;
    world.until_restored(0).await;
    world.reports(0, FAILED, 1).await;
    assert_eq!(ejection(&world, 0), Ejection::In);
}

#[tokio::test(start_paused = true)]
async fn who_is_on_trial_counts_as_ejected_for_the_cap_and_is_not_what_is_left() {
    let world = on_trial(3).await;
    world.reports(1, FAILED, 5).await;
    assert_eq!(ejection(&world, 1), Ejection::In);
    // With two, one of which is on trial, the other stays.
    let change = Change::new().set_health(id(2), Health::Unhealthy, "probe");
    world.upstream.apply(change).unwrap();
    world.reports(1, FAILED, 50).await;
    assert_eq!(ejection(&world, 1), Ejection::In);
}

#[tokio::test(start_paused = true)]
async fn the_only_one_that_is_left_is_not_tried_but_used() {
    let world = World::new(2, |detection| detection);
    world.reports(0, FAILED, 5).await;
    let change = Change::new().set_health(id(1), Health::Unhealthy, "probe");
    world.upstream.apply(change).unwrap();
    world.until_restored(0).await;
    assert_eq!(ejection(&world, 0), Ejection::In);
}

#[tokio::test(start_paused = true)]
async fn who_is_used_since_nobody_else_is_left_is_out_again_with_its_first_failure() {
    let world = World::new(2, |detection| detection.with_min_available(0));
    world.reports(0, FAILED, 5).await;
    let change = Change::new().set_health(id(1), Health::Unhealthy, "probe");
    world.upstream.apply(change).unwrap();
    world.until_restored(0).await;
    settle().await;
    assert_eq!(ejection(&world, 0), Ejection::In);
    world.reports(0, FAILED, 1).await;
    assert_eq!(ejection(&world, 0), Ejection::Ejected);

    // A success ends the doubt.
    world.until_restored(0).await;
    settle().await;
    world.reports(0, Outcome::Success, 1).await;
    world.reports(0, FAILED, 4).await;
    assert_eq!(ejection(&world, 0), Ejection::In);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_it_is_out_and_comes_back_is_not_out_for_ever() {
    for absent in [SECOND, 20 * SECOND, 100 * SECOND] {
        let world = World::new(3, |detection| detection);
        // With something in flight, it comes back with the record that it had.
        let endpoint = world.endpoint(0);
        let _pick = endpoint.pick().unwrap();
        world.reports(0, FAILED, 5).await;
        world.upstream.apply(Change::new().remove(id(0))).unwrap();
        sleep(absent).await;
        let change = Change::new().add(endpoint.spec().clone());
        world.upstream.apply(change).unwrap();
        settle().await;
        assert_eq!(ejection(&world, 0), Ejection::Ejected);
        sleep(100 * SECOND).await;
        assert_eq!(ejection(&world, 0), Ejection::OnTrial, "{absent:?}");
        world.reports(0, Outcome::Success, 1).await;
        assert_eq!(ejection(&world, 0), Ejection::In);
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_it_is_on_trial_and_comes_back_is_on_trial_still() {
    let world = on_trial(3).await;
    let endpoint = world.endpoint(0);
    let pick = endpoint.pick().unwrap();
    world.upstream.apply(Change::new().remove(id(0))).unwrap();
    let change = Change::new().add(endpoint.spec().clone());
    world.upstream.apply(change).unwrap();
    settle().await;
    assert_eq!(ejection(&world, 0), Ejection::OnTrial);
    drop(pick);
    world.reports(0, Outcome::Success, 1).await;
    assert_eq!(ejection(&world, 0), Ejection::In);
}

/// Always passes.
struct Shallow;

impl Probe for Shallow {
    fn probe<'a>(&'a self, _: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_passes_ends_a_trial_too() {
    let world = on_trial(3).await;
    let _health = HealthCheck::new(&world.upstream, Shallow).spawn();
    sleep(5 * SECOND).await;
    assert_eq!(ejection(&world, 0), Ejection::In);
    // It is like any other: one failure is not too many.
    world.reports(0, FAILED, 4).await;
    assert_eq!(ejection(&world, 0), Ejection::In);
    world.reports(0, FAILED, 1).await;
    assert_eq!(ejection(&world, 0), Ejection::Ejected);
}

#[tokio::test(start_paused = true)]
async fn the_next_detection_decides_on_a_trial_that_it_finds() {
    for (outcome, expected) in [
        (Outcome::Success, Ejection::In),
        (FAILED, Ejection::Ejected),
    ] {
        let mut world = on_trial(3).await;
        world.task = OutlierDetection::new(&world.upstream).spawn();
        settle().await;
        assert_eq!(ejection(&world, 0), Ejection::OnTrial);
        world.reports(0, outcome, 1).await;
        assert_eq!(ejection(&world, 0), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_trials_that_are_given_up_leak_nothing() {
    let world = on_trial(2).await;
    let endpoint = world.endpoint(0);
    for n in 0..100_000 {
        let pick = endpoint.pick().unwrap();
        let watched = world.task.reports().begin(&endpoint);
        if n % 2 == 0 {
            drop(watched);
            drop(pick);
        } else {
            drop(pick);
            watched.end(Outcome::Cancelled);
        }
    }
    settle().await;
    assert_eq!(endpoint.record().in_flight(), 0);
    assert_eq!(ejection(&world, 0), Ejection::OnTrial);
    world.reports(0, Outcome::Success, 1).await;
    assert_eq!(ejection(&world, 0), Ejection::In);
}
