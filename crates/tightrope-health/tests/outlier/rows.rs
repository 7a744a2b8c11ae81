//! Failures in a row.

use tightrope_health::{Listen, Listening, outlier::Detector};
use tightrope_upstream::{Change, Failure, Health, Outcome};

use super::world::{FAILED, REFUSED, SECOND, World, id, settle};

#[tokio::test(start_paused = true)]
async fn the_fifth_failure_in_a_row_ejects() {
    let world = World::new(3, |detection| detection);
    world.reports(0, FAILED, 4).await;
    assert_eq!(world.ejected(), []);
    world.report(0, Outcome::Success);
    world.reports(0, FAILED, 4).await;
    assert_eq!(world.ejected(), []);
    world.reports(0, FAILED, 1).await;
    assert_eq!(world.ejected(), [0]);
    assert_eq!(
        world.reason(0),
        "5 failures in a row, the last: failure response; for 30s"
    );
    assert_eq!(world.upstream.snapshot().available(), [1, 2]);
    assert_eq!(
        world
            .task
            .counts()
            .of(Detector::ConsecutiveFailures)
            .ejected,
        1
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_nobodys_fault_there_counts_for_nothing() {
    let world = World::new(3, |detection| detection);
    for harmless in [
        Outcome::Cancelled,
        Outcome::Failure(Failure::Downstream),
        Outcome::Failure(Failure::DownstreamTimeout),
        Outcome::Failure(Failure::Local),
        Outcome::Failure(Failure::Unavailable),
    ] {
        world.reports(0, harmless, 100).await;
    }
    assert_eq!(world.ejected(), []);
    // Nor does it end a row.
    world.reports(0, FAILED, 4).await;
    world.report(0, Outcome::Failure(Failure::Downstream));
    world.reports(0, FAILED, 1).await;
    assert_eq!(world.ejected(), [0]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_given_up_tells_nothing() {
    let world = World::new(3, |detection| detection);
    let reports = world.task.reports();
    for _ in 0..100_000 {
        drop(reports.begin(&world.endpoint(0)));
    }
    settle().await;
    assert_eq!(world.ejected(), []);
}

#[tokio::test(start_paused = true)]
async fn gateway_failures_are_502_to_504_and_no_answer() {
    let settings = |detection: tightrope_health::outlier::OutlierDetection| {
        let detection = detection.with_consecutive_failures(None).unwrap();
        detection.with_gateway_failures(Some(3)).unwrap()
    };
    let world = World::new(3, settings);
    world.reports(0, FAILED, 100).await;
    assert_eq!(world.ejected(), []);
    world.report(0, Outcome::Failure(Failure::Gateway));
    world.report(0, REFUSED);
    world.report(0, FAILED); // ends the row
    world.report(0, Outcome::Failure(Failure::HeadTimeout));
    world.reports(0, REFUSED, 1).await;
    assert_eq!(world.ejected(), []);
    world
        .reports(0, Outcome::Failure(Failure::Gateway), 1)
        .await;
    assert_eq!(world.ejected(), [0]);
}

#[tokio::test(start_paused = true)]
async fn local_failures_are_counted_apart_where_they_have_a_limit() {
    let world = World::new(3, |detection| {
        detection.with_local_failures(Some(2)).unwrap()
    });
    world.report(0, REFUSED);
    world.reports(0, FAILED, 4).await; // an answer ends the row of those without
    world.reports(0, REFUSED, 1).await;
    assert_eq!(world.ejected(), []); // and no answer is not the fifth
    world.reports(0, REFUSED, 1).await;
    assert_eq!(world.ejected(), [0]);
    assert!(
        world
            .reason(0)
            .starts_with("2 failures in a row, the last: connect failed")
    );
}

#[tokio::test(start_paused = true)]
async fn answers_to_what_was_sent_before_an_ejection_are_ignored() {
    let world = World::new(3, |detection| detection);
    let reports = world.task.reports();
    let sent: Vec<_> = (0..20).map(|_| reports.begin(&world.endpoint(0))).collect();
    world.reports(0, FAILED, 5).await;
    assert_eq!(world.until_restored(0).await, 30 * SECOND);
    for attempt in sent {
        attempt.end(FAILED);
    }
    settle().await;
    assert_eq!(world.ejected(), []);
}

#[tokio::test(start_paused = true)]
async fn whom_probes_found_unhealthy_is_not_ejected_too() {
    let world = World::new(3, |detection| detection);
    let change = Change::new().set_health(id(0), Health::Unhealthy, "probe");
    world.upstream.apply(change).unwrap();
    world.reports(0, FAILED, 50).await;
    assert_eq!(world.ejected(), []);
}

#[tokio::test(start_paused = true)]
async fn who_left_and_who_is_of_another_upstream_is_ignored() {
    let (world, other) = (World::new(3, |detection| detection), World::new(3, |it| it));
    let left = world.endpoint(0);
    world.upstream.apply(Change::new().remove(id(0))).unwrap();
    for _ in 0..50 {
        world.task.reports().begin(&left).end(FAILED);
        world.task.reports().begin(&other.endpoint(1)).end(FAILED);
    }
    settle().await;
    assert_eq!(world.upstream.snapshot().available(), [0, 1]);
    assert_eq!(other.ejected(), []);
}

#[tokio::test(start_paused = true)]
async fn who_joins_later_is_watched_too() {
    let world = World::new(2, |detection| detection);
    let spec = tightrope_upstream::EndpointSpec::new("10.1.0.1:80".parse().unwrap());
    world.upstream.apply(Change::new().add(spec)).unwrap();
    let joined = world.upstream.snapshot().members()[2].clone();
    for _ in 0..5 {
        world.task.reports().begin(&joined).end(FAILED);
    }
    settle().await;
    assert_eq!(world.upstream.snapshot().available(), [0, 1]);
}
