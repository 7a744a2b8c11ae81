//! How long ejections last, and how they end.

use std::time::Duration;

use tightrope_health::{
    HealthCheck, Listen, Listening, Probe,
    outlier::{Detector, OutlierDetection},
    probe::ProbeFuture,
};
use tightrope_upstream::{Change, Endpoint, Outcome};
use tokio::time::{Instant, sleep};

use super::world::{FAILED, SECOND, World, id, settle};

#[tokio::test(start_paused = true)]
async fn ejections_last_30_60_90_up_to_300_seconds() {
    let world = World::new(3, |detection| detection);
    world.reports(0, FAILED, 5).await;
    let mut lengths = Vec::new();
    for _ in 0..12 {
        lengths.push(world.until_restored(0).await.as_secs());
        world.reports(0, FAILED, 1).await; // on probation
    }
    let expected = [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300];
    assert_eq!(lengths, expected);
    let counts = world.task.counts();
    assert_eq!(counts.of(Detector::ConsecutiveFailures).ejected, 1);
    assert_eq!(counts.of(Detector::Probation).ejected, 12);
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_probation() {
    let world = World::new(3, |detection| detection);
    world.reports(0, FAILED, 5).await;
    world.until_restored(0).await;
    world.report(0, Outcome::Success);
    world.reports(0, FAILED, 4).await;
    assert_eq!(world.ejected(), []);
    world.reports(0, FAILED, 1).await;
    assert_eq!(world.until_restored(0).await, 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn without_probation_it_takes_as_many_failures_again() {
    let world = World::new(3, |detection| detection.with_probation(false));
    world.reports(0, FAILED, 5).await;
    world.until_restored(0).await;
    world.reports(0, FAILED, 4).await;
    assert_eq!(world.ejected(), []);
    world.reports(0, FAILED, 1).await;
    assert_eq!(world.ejected(), [0]);
}

#[tokio::test(start_paused = true)]
async fn each_sweep_in_service_takes_one_off() {
    let world = World::new(3, |detection| detection);
    for expected in [30, 60] {
        world.reports(0, FAILED, 5).await;
        assert_eq!(world.until_restored(0).await.as_secs(), expected);
    }
    world.report(0, Outcome::Success);
    // Two ejections lately, of which a sweep every 10 s takes one.
    sleep(10 * SECOND).await;
    settle().await;
    world.reports(0, FAILED, 5).await;
    assert_eq!(world.until_restored(0).await.as_secs(), 60);
    world.report(0, Outcome::Success);
    sleep(100 * SECOND).await;
    world.reports(0, FAILED, 5).await;
    assert_eq!(world.until_restored(0).await.as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_the_returns() {
    let world = World::new(100, |detection| {
        detection
            .with_jitter(10 * SECOND)
            .with_max_ejected(0.5)
            .unwrap()
    });
    for n in 0..50 {
        world.reports(n, FAILED, 5).await;
    }
    let (start, mut returns) = (Instant::now(), Vec::new());
    let mut events = world.upstream.events();
    while returns.len() < 50 {
        events.next().await.unwrap();
        returns.push(start.elapsed());
    }
    assert!(returns[0] >= 30 * SECOND && returns[0] < 31 * SECOND);
    assert!(returns[49] > 39 * SECOND && returns[49] <= 40 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn who_restores_by_hand_ends_it() {
    let world = World::new(3, |detection| detection);
    world.reports(0, FAILED, 5).await;
    let change = Change::new().restore(id(0), "by hand");
    world.upstream.apply(change).unwrap();
    settle().await;
    // Not on probation, and its time does not run on.
    world.reports(0, FAILED, 4).await;
    assert_eq!(world.ejected(), []);
    world.reports(0, FAILED, 1).await;
    assert_eq!(world.until_restored(0).await, 60 * SECOND);
}

/// Always passes.
struct Shallow;

impl Probe for Shallow {
    fn probe<'a>(&'a self, _: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_passes_ends_it_unless_that_is_switched_off() {
    for (restores, expected) in [(true, 2 * SECOND), (false, 30 * SECOND)] {
        let world = World::new(3, |detection| detection);
        let health = HealthCheck::new(&world.upstream, Shallow)
            .with_jitter(0.0)
            .unwrap()
            .with_restore(restores)
            .spawn();
        sleep(Duration::from_millis(1)).await; // after the first probes
        world.reports(0, FAILED, 5).await;
        let time = world.until_restored(0).await;
        assert!(time <= expected && time + SECOND > expected, "{time:?}");
        drop(health);
    }
}

#[tokio::test(start_paused = true)]
async fn flapping_is_out_ever_longer() {
    // Fails for five requests each time it is back, then is well for a while.
    let world = World::new(3, |detection| detection);
    let (mut out, start) = (Duration::ZERO, Instant::now());
    while start.elapsed() < 3600 * SECOND {
        world.reports(0, FAILED, 5).await;
        out += world.until_restored(0).await;
        world.report(0, Outcome::Success);
        sleep(SECOND).await;
    }
    let share = out.as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(share > 0.98, "{share}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_task_leaves_verdicts_and_harms_no_reporter() {
    let world = World::new(3, |detection| detection);
    let reports = world.task.reports();
    world.reports(0, FAILED, 5).await;
    let upstream = world.upstream.clone();
    drop(world);
    for _ in 0..5_000 {
        reports.begin(&upstream.snapshot().members()[1]).end(FAILED);
    }
    sleep(100 * SECOND).await;
    assert_eq!(upstream.snapshot().available(), [1, 2]);
    // The next one takes over whom it finds ejected.
    let _task = OutlierDetection::new(&upstream).spawn();
    sleep(29 * SECOND).await;
    assert_eq!(upstream.snapshot().available(), [1, 2]);
    sleep(2 * SECOND).await;
    assert_eq!(upstream.snapshot().available(), [0, 1, 2]);
}
