//! What live traffic tells after the switch.

use std::time::Duration;

use super::world::{active, group, member, seconds, to_green, traffic, upstream};
use tightrope_rollout::{Report, RolloutError, Share, Step, Verify};
use tightrope_upstream::{Change, Upstream};
use tokio::time::{Instant, sleep};

async fn run(upstream: &Upstream, verify: Verify) -> Result<Report, RolloutError> {
    to_green(upstream).with_verify(verify).start()?.run().await
}

/// Runs a rollout, and so much traffic on green-1 half a second into each of the first seconds.
async fn run_with(
    upstream: &Upstream,
    verify: Verify,
    traffic_of: &[(u64, u64)],
) -> Result<Report, RolloutError> {
    let rollout = run(upstream, verify);
    let load = async {
        sleep(Duration::from_millis(500)).await;
        for &(succeeded, failed) in traffic_of {
            traffic(upstream, "green-1", succeeded, failed);
            sleep(seconds(1)).await;
        }
    };
    tokio::join!(rollout, load).0
}

#[tokio::test(start_paused = true)]
async fn a_group_without_traffic_is_verified_when_the_time_is_over() {
    let upstream = upstream(1);
    let report = run(&upstream, Verify::new(seconds(60))).await.unwrap();
    assert_eq!(
        report.steps[2].step,
        Step::Verified {
            succeeded: 0,
            failed: 0
        }
    );
    assert_eq!(report.steps[2].took, seconds(60));
}

#[tokio::test(start_paused = true)]
async fn failures_below_the_limit_are_borne() {
    let upstream = upstream(1);
    let report = run_with(&upstream, Verify::new(seconds(10)), &[(96, 4)])
        .await
        .unwrap();
    assert_eq!(
        report.steps[2].step,
        Step::Verified {
            succeeded: 96,
            failed: 4
        }
    );
    assert_eq!(active(&upstream).as_deref(), Some("green"));
}

#[tokio::test(start_paused = true)]
async fn failures_at_the_limit_bring_the_old_group_back() {
    let (upstream, begun) = (upstream(1), Instant::now());
    let verify = Verify::new(seconds(60));
    let error = run_with(&upstream, verify, &[(20, 0), (75, 5)])
        .await
        .unwrap_err();
    let RolloutError::RolledBack { reason, report } = error else {
        panic!("{error:?}");
    };
    assert_eq!(reason.as_str(), "5 of 100 requests failed, the limit is 5%");
    assert_eq!(active(&upstream).as_deref(), Some("blue"));
    let [.., back, drained] = &report.steps[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        back.step,
        Step::RolledBack {
            generation: upstream.snapshot().generation(),
            reason
        },
    );
    assert_eq!(back.took, seconds(2)); // seen at the next look
    assert!(matches!(&drained.step, Step::Drained(drain) if drain.is_complete()));
    assert!(begun.elapsed() < seconds(3));
}

#[tokio::test(start_paused = true)]
async fn too_few_requests_tell_nothing() {
    let upstream = upstream(1);
    let verify = Verify::new(seconds(10));
    run_with(&upstream, verify.clone(), &[(0, 19)])
        .await
        .unwrap();
    let upstream = super::world::upstream(1);
    let error = run_with(&upstream, verify, &[(0, 19), (0, 1)])
        .await
        .unwrap_err();
    assert!(matches!(error, RolloutError::RolledBack { .. }));
}

#[tokio::test(start_paused = true)]
async fn what_the_group_did_before_the_switch_is_not_held_against_it() {
    let upstream = upstream(1);
    upstream
        .apply(Change::new().activate(group("green")))
        .unwrap();
    traffic(&upstream, "green-1", 0, 1_000);
    upstream
        .apply(Change::new().activate(group("blue")))
        .unwrap();
    let report = run_with(&upstream, Verify::new(seconds(5)), &[(30, 1)])
        .await
        .unwrap();
    assert_eq!(
        report.steps[2].step,
        Step::Verified {
            succeeded: 30,
            failed: 1
        }
    );
}

#[tokio::test(start_paused = true)]
async fn failures_of_a_member_that_joins_or_leaves_meanwhile_count() {
    let upstream = upstream(1);
    let rollout = run(&upstream, Verify::new(seconds(60)));
    let load = async {
        sleep(Duration::from_millis(500)).await;
        upstream
            .apply(Change::new().add(member("green", 2)))
            .unwrap();
        sleep(seconds(1)).await;
        traffic(&upstream, "green-1", 0, 10);
        traffic(&upstream, "green-2", 0, 10);
        upstream
            .apply(Change::new().remove(super::world::id("green-1")))
            .unwrap();
    };
    let error = tokio::join!(rollout, load).0.unwrap_err();
    assert_eq!(
        error.to_string(),
        "rolled back: 20 of 20 requests failed, the limit is 5%"
    );
}

#[tokio::test(start_paused = true)]
async fn limit_minimum_and_interval_are_the_users() {
    let upstream = upstream(1);
    let verify = Verify::new(seconds(60))
        .with_limit(Share::new(0.5).unwrap())
        .with_min_requests(2)
        .with_interval(seconds(7));
    let error = run_with(&upstream, verify, &[(1, 1)]).await.unwrap_err();
    let RolloutError::RolledBack { report, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(report.took(), seconds(7));
}

#[tokio::test(start_paused = true)]
async fn no_setting_panics_or_hangs() {
    let upstream = upstream(1);
    let verify = Verify::new(seconds(0))
        .with_interval(seconds(0))
        .with_min_requests(0);
    let report = run(&upstream, verify).await.unwrap();
    assert_eq!(report.took(), seconds(0));
    upstream
        .apply(Change::new().activate(group("blue")))
        .unwrap();
    let verify = Verify::new(Duration::MAX).with_interval(Duration::MAX);
    let rollout = to_green(&upstream).with_verify(verify).start().unwrap();
    let rollback = rollout.rollback();
    let (result, _) = tokio::join!(rollout.run(), async {
        sleep(seconds(1)).await;
        rollback.now("enough").unwrap();
    });
    assert!(matches!(result, Err(RolloutError::RolledBack { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_old_group_gone_keeps_the_traffic_where_it_is() {
    let upstream = upstream(1);
    let rollout = run(&upstream, Verify::new(seconds(60)));
    let load = async {
        sleep(Duration::from_millis(500)).await;
        upstream
            .apply(Change::new().remove(super::world::id("blue-1")))
            .unwrap();
        traffic(&upstream, "green-1", 0, 20);
    };
    let error = tokio::join!(rollout, load).0.unwrap_err();
    assert!(
        matches!(error, RolloutError::NotRolledBack { .. }),
        "{error:?}"
    );
    assert_eq!(active(&upstream).as_deref(), Some("green"));
}
