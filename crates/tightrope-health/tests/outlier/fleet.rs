//! Endpoints compared with each other.

use std::time::Duration;

use tightrope_health::{
    Listen, Listening,
    outlier::{Detector, FailureShare, LatencyFactor, OutlierDetection},
};
use tightrope_upstream::Outcome;
use tokio::time::sleep;

use super::world::{FAILED, SECOND, World, settle};

/// Failures in a row are another matter.
fn by_rate(detection: OutlierDetection) -> OutlierDetection {
    detection.with_consecutive_failures(None).unwrap()
}

fn traffic(world: &World, n: usize, succeed: usize, fail: usize) {
    for _ in 0..succeed {
        world.report(n, Outcome::Success);
    }
    for _ in 0..fail {
        world.report(n, FAILED);
    }
}

#[tokio::test(start_paused = true)]
async fn who_succeeds_less_often_than_the_fleet_is_out_at_the_sweep() {
    let world = World::new(10, by_rate);
    (0..9).for_each(|n| traffic(&world, n, 100, 0));
    traffic(&world, 9, 70, 30);
    sleep(9 * SECOND).await;
    assert_eq!(world.ejected(), []);
    sleep(SECOND).await;
    settle().await;
    assert_eq!(world.ejected(), [9]);
    // Mean 97 %, deviation 9 %.
    let expected = "70.0 % succeed, where 79.9 % should; for 30s";
    assert_eq!(world.reason(9), expected);
}

#[tokio::test(start_paused = true)]
async fn four_endpoints_or_99_requests_are_too_few() {
    for (count, requests, expected) in [(5, 100, 1), (4, 100, 0), (5, 99, 0)] {
        let world = World::new(count, by_rate);
        (1..count).for_each(|n| traffic(&world, n, requests, 0));
        traffic(&world, 0, 0, requests);
        sleep(11 * SECOND).await;
        assert_eq!(world.ejected().len(), expected, "{count}, {requests}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_before_a_sweep_counts_no_more_after_it() {
    let world = World::new(5, by_rate);
    (1..5).for_each(|n| traffic(&world, n, 60, 0));
    traffic(&world, 0, 0, 60);
    sleep(11 * SECOND).await;
    (1..5).for_each(|n| traffic(&world, n, 60, 0));
    traffic(&world, 0, 0, 60);
    sleep(10 * SECOND).await;
    assert_eq!(world.ejected(), []);
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_turns_bad_together_loses_no_more_than_the_cap() {
    let world = World::new(20, |detection| {
        by_rate(detection).with_failure_share(Some(FailureShare::new()))
    });
    for _ in 0..30 {
        (0..20).for_each(|n| traffic(&world, n, 0, 200));
        sleep(10 * SECOND).await;
        assert!(world.ejected().len() <= 2);
    }
    let counts = world.task.counts();
    assert_eq!(counts.of(Detector::SuccessRate).ejected, 0);
    assert!(counts.of(Detector::FailureShare).spared_by_cap > 0);
}

#[tokio::test(start_paused = true)]
async fn who_fails_85_percent_is_out_where_that_is_asked_for() {
    let world = World::new(5, |detection| {
        let detection = by_rate(detection).with_success_rate(None);
        detection.with_failure_share(Some(FailureShare::new()))
    });
    (1..5).for_each(|n| traffic(&world, n, 25, 25));
    traffic(&world, 0, 7, 43);
    sleep(11 * SECOND).await;
    assert_eq!(world.ejected(), [0]);
    assert_eq!(world.reason(0), "86.0 % fail; for 30s");
}

#[tokio::test(start_paused = true)]
async fn who_answers_slowly_is_out_where_that_is_asked_for() {
    let world = World::new(6, |detection| {
        let detection = by_rate(detection).with_interval(60 * SECOND).unwrap();
        detection.with_latency(Some(LatencyFactor::new().with_factor(2.0).unwrap()))
    });
    let reports = world.task.reports();
    for _ in 0..100 {
        let sent = [0, 1, 2, 3, 4, 5].map(|n| reports.begin(&world.endpoint(n)));
        for (n, attempt) in sent.into_iter().enumerate() {
            sleep(Duration::from_millis(if n == 5 { 60 } else { 1 })).await;
            attempt.end(Outcome::Success);
        }
    }
    sleep(60 * SECOND).await;
    assert_eq!(world.ejected(), [5]);
    assert!(
        world
            .reason(5)
            .starts_with("answers take 65.0 ms, of others 4.0 ms")
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_out_is_not_compared() {
    let world = World::new(10, |detection| detection.with_max_ejected(0.3).unwrap());
    world.reports(9, FAILED, 5).await;
    assert_eq!(world.ejected(), [9]);
    (0..9).for_each(|n| traffic(&world, n, 100, 0));
    traffic(&world, 9, 0, 100);
    sleep(11 * SECOND).await;
    assert_eq!(world.ejected(), [9]);
    assert_eq!(world.task.counts().of(Detector::SuccessRate).ejected, 0);
}
