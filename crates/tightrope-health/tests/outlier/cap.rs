//! How many may be out.

use std::time::Duration;

use tightrope_health::outlier::{Detector, OutlierDetection, OutlierError};
use tightrope_upstream::{Change, Outcome, Upstream};

use super::world::{FAILED, SECOND, World, id};

#[tokio::test(start_paused = true)]
async fn one_in_ten_and_always_one_but_never_the_last() {
    for (count, expected) in [(1, 0), (2, 1), (3, 1), (10, 1), (19, 1), (20, 2), (35, 3)] {
        let world = World::new(count, |detection| detection);
        for n in 0..count {
            world.reports(n, FAILED, 5).await;
        }
        assert_eq!(world.ejected().len(), expected, "of {count}");
        let verdicts = world.task.counts().of(Detector::ConsecutiveFailures);
        assert_eq!(verdicts.spared_by_cap as usize, count - expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_share_can_be_set_from_nobody_to_all_but_one() {
    for (share, expected) in [(0.0, 0), (0.04, 1), (0.5, 5), (1.0, 9)] {
        let world = World::new(10, |it| it.with_max_ejected(share).unwrap());
        for n in 0..10 {
            world.reports(n, FAILED, 5).await;
        }
        assert_eq!(world.ejected().len(), expected, "{share}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_that_is_available_stays_whoever_else_is_drained() {
    let world = World::new(2, |detection| detection);
    world
        .upstream
        .apply(Change::new().drain(id(1), "by hand"))
        .unwrap();
    world.reports(0, FAILED, 50).await;
    assert_eq!(world.ejected(), []);
}

#[tokio::test(start_paused = true)]
async fn who_is_spared_is_judged_again() {
    let world = World::new(2, |detection| detection);
    world.reports(0, FAILED, 5).await;
    world.reports(1, FAILED, 5).await;
    assert_eq!(world.ejected(), [0]);
    world.until_restored(0).await;
    world.report(0, Outcome::Success);
    world.reports(1, FAILED, 5).await;
    assert_eq!(world.ejected(), [1]);
    assert_eq!(world.until_restored(1).await, 30 * SECOND); // it was not ejected before
}

#[tokio::test(start_paused = true)]
async fn a_detector_that_is_not_enforced_only_counts() {
    let world = World::new(3, |detection| {
        detection
            .with_enforcement(Detector::ConsecutiveFailures, 0.0)
            .unwrap()
    });
    world.reports(0, FAILED, 5).await;
    world.reports(0, FAILED, 7).await;
    assert_eq!(world.ejected(), []);
    let verdicts = world.task.counts().of(Detector::ConsecutiveFailures);
    assert_eq!((verdicts.ejected, verdicts.spared_by_chance), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_enforced_now_and_then_ejects_now_and_then() {
    let world = World::new(2, |detection| {
        let detection = detection.with_probation(false);
        detection
            .with_enforcement(Detector::ConsecutiveFailures, 0.3)
            .unwrap()
    });
    for _ in 0..1_000 {
        world.reports(0, FAILED, 5).await;
        world.until_restored(0).await;
    }
    let verdicts = world.task.counts().of(Detector::ConsecutiveFailures);
    assert!(verdicts.ejected.abs_diff(300) < 60, "{verdicts:?}");
    assert_eq!(verdicts.ejected + verdicts.spared_by_chance, 1_000);
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_name_and_value() {
    let detection = || OutlierDetection::new(&Upstream::new("test"));
    let refused: [(Result<_, OutlierError>, &str); 8] = [
        (
            detection().with_interval(Duration::ZERO),
            "interval is zero",
        ),
        (
            detection().with_times(Duration::ZERO, SECOND),
            "base time of ejections is zero",
        ),
        (
            detection().with_times(SECOND * 2, SECOND),
            "longest ejection is 1s and shorter than the first, 2s",
        ),
        (
            detection().with_consecutive_failures(Some(0)),
            "number of consecutive failures in a row is zero",
        ),
        (
            detection().with_gateway_failures(Some(0)),
            "number of gateway failures in a row is zero",
        ),
        (
            detection().with_local_failures(Some(0)),
            "number of local failures in a row is zero",
        ),
        (
            detection().with_max_ejected(1.5),
            "share of endpoints ejected is 1.5 and not between 0 and 1",
        ),
        (
            detection().with_enforcement(Detector::Latency, f64::NAN),
            "enforcement of latency is NaN and not between 0 and 1",
        ),
    ];
    for (result, expected) in refused {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}
