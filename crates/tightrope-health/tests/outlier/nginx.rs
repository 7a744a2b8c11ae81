//! `max_fails` and `fail_timeout` as nginx has them.

use std::time::Duration;

use tightrope_health::outlier::OutlierDetection;
use tightrope_upstream::{Ejection, Outcome, Upstream};
use tokio::time::sleep;

use super::world::{FAILED, REFUSED, SECOND, World, settle};

fn nginx(count: usize, max_fails: u32, fail_timeout: Duration) -> World {
    World::of(count, |upstream| {
        OutlierDetection::nginx(upstream, max_fails, fail_timeout).unwrap()
    })
}

#[tokio::test(start_paused = true)]
async fn after_max_fails_it_is_out_for_fail_timeout_and_then_on_trial() {
    let world = nginx(2, 3, 10 * SECOND);
    world.reports(0, REFUSED, 2).await;
    assert_eq!(world.ejected(), []);
    world.reports(0, REFUSED, 1).await;
    assert_eq!(world.until_restored(0).await, 10 * SECOND);
    // The same time again, however often.
    for _ in 0..5 {
        world.reports(0, REFUSED, 1).await;
        assert_eq!(world.until_restored(0).await, 10 * SECOND);
    }
    world.reports(0, Outcome::Success, 1).await;
    let ejection = world.endpoint(0).record().status().ejection.value();
    assert_eq!(ejection, Ejection::In);
}

#[tokio::test(start_paused = true)]
async fn failures_add_up_among_successes_until_one_comes_after_fail_timeout() {
    let world = nginx(2, 3, 10 * SECOND);
    for _ in 0..2 {
        world.reports(0, REFUSED, 1).await;
        world.reports(0, Outcome::Success, 5).await;
        sleep(9 * SECOND).await;
    }
    world.reports(0, Outcome::Success, 1).await;
    world.reports(0, REFUSED, 1).await;
    assert_eq!(world.ejected(), [0]);

    let world = nginx(2, 3, 10 * SECOND);
    world.reports(0, REFUSED, 2).await;
    sleep(11 * SECOND).await;
    world.reports(0, Outcome::Success, 1).await;
    world.reports(0, REFUSED, 2).await;
    assert_eq!(world.ejected(), []);
}

#[tokio::test(start_paused = true)]
async fn statuses_do_not_count_unless_that_is_asked_for() {
    let world = nginx(2, 1, 10 * SECOND);
    world.reports(0, FAILED, 50).await;
    assert_eq!(world.ejected(), []);
    let world = World::of(2, |upstream| {
        let detection = OutlierDetection::nginx(upstream, 1, 10 * SECOND).unwrap();
        let detection = detection.with_local_failures(None).unwrap();
        detection.with_consecutive_failures(Some(1)).unwrap()
    });
    world.reports(0, FAILED, 1).await;
    world.reports(1, REFUSED, 1).await;
    assert_eq!(world.ejected(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn all_may_be_out_but_one_that_is_alone_never_is() {
    let world = nginx(3, 1, 10 * SECOND);
    for n in 0..3 {
        world.reports(n, REFUSED, 1).await;
    }
    assert_eq!(world.ejected(), [0, 1, 2]);
    sleep(11 * SECOND).await;
    settle().await;
    assert_eq!(world.ejected(), []);

    let world = nginx(1, 1, 10 * SECOND);
    world.reports(0, REFUSED, 50).await;
    assert_eq!(world.ejected(), []);
}

#[tokio::test(start_paused = true)]
async fn where_all_come_back_at_once_the_first_member_is_used_and_the_others_are_tried() {
    // Often, since what has no order has this one by chance now and then.
    for _ in 0..20 {
        let world = nginx(4, 1, 10 * SECOND);
        for n in [2, 0, 3, 1] {
            world.reports(n, REFUSED, 1).await;
        }
        world.until_restored(3).await;
        let ejection = |n: usize| world.endpoint(n).record().status().ejection.value();
        let expected = [
            Ejection::In,
            Ejection::OnTrial,
            Ejection::OnTrial,
            Ejection::OnTrial,
        ];
        assert_eq!([0, 1, 2, 3].map(ejection), expected);
    }
}

#[tokio::test]
async fn what_means_never_in_nginx_is_refused() {
    let upstream = Upstream::new("test");
    let error = OutlierDetection::nginx(&upstream, 0, SECOND).unwrap_err();
    assert_eq!(
        error.to_string(),
        "number of local failures in a row is zero"
    );
    assert!(OutlierDetection::nginx(&upstream, 1, Duration::ZERO).is_err());
}
