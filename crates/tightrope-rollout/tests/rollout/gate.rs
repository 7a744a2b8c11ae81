//! When a group gets traffic, and when it does not.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::world::{active, endpoint, group, id, member, seconds, to_green, upstream};
use proptest::prelude::*;
use tightrope_rollout::{Gate, Report, RolloutError, Share, Step};
use tightrope_upstream::{Change, Endpoint, Health, Reason, Upstream, Weight};
use tokio::time::Instant;

fn sicken(upstream: &Upstream, name: &str) {
    let change = Change::new().set_health(id(name), Health::Unhealthy, "refused");
    upstream.apply(change).unwrap();
}

fn heal(upstream: &Upstream, name: &str) {
    let change = Change::new().set_health(id(name), Health::Healthy, "answers");
    upstream.apply(change).unwrap();
}

async fn run(upstream: &Upstream, gate: Gate) -> Result<Report, RolloutError> {
    to_green(upstream).with_gate(gate).start()?.run().await
}

fn unfit(error: &RolloutError) -> Vec<(String, String)> {
    match error {
        RolloutError::NotReady { unfit, .. } => unfit
            .iter()
            .map(|unfit| (unfit.endpoint.to_string(), unfit.reason.to_string()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_fit_group_is_let_through_at_once() {
    let (upstream, begun) = (upstream(2), Instant::now());
    let report = run(&upstream, Gate::new()).await.unwrap();
    assert_eq!(begun.elapsed(), seconds(0));
    assert_eq!(
        report.steps[0].step,
        Step::Ready {
            tries: 1,
            unfit: Vec::new()
        }
    );
    assert_eq!(active(&upstream).as_deref(), Some("green"));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_stays_sick_is_refused_with_who_and_why() {
    let (upstream, begun) = (upstream(3), Instant::now());
    sicken(&upstream, "green-2");
    upstream
        .apply(Change::new().eject(id("green-3"), "5 in a row"))
        .unwrap();
    let before = upstream.snapshot().generation();

    let error = run(&upstream, Gate::new()).await.unwrap_err();
    assert_eq!(begun.elapsed(), seconds(90)); // ten tries, ten seconds apart, the first at once
    assert_eq!(
        unfit(&error),
        [
            ("green-2".to_owned(), "unhealthy: refused".to_owned()),
            ("green-3".to_owned(), "ejected: 5 in a row".to_owned()),
        ],
    );
    assert_eq!(
        error.to_string(),
        "group `green` was not ready after 10 tries: \
         `green-2` (unhealthy: refused), `green-3` (ejected: 5 in a row)",
    );
    assert_eq!(upstream.snapshot().generation(), before);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_recovers_is_let_through_at_the_next_try() {
    let upstream = upstream(1);
    sicken(&upstream, "green-1");
    let clone = upstream.clone();
    let mut tries = 0;
    let rollout = to_green(&upstream)
        .start()
        .unwrap()
        .with_progress(move |report| {
            if let Step::NotReady { number, .. } = report.step {
                tries += 1;
                assert_eq!(number, tries);
                if number == 3 {
                    heal(&clone, "green-1");
                }
            }
        });
    let report = rollout.run().await.unwrap();
    assert_eq!(
        report.steps[3].step,
        Step::Ready {
            tries: 4,
            unfit: Vec::new()
        }
    );
    assert_eq!(report.steps[3].took, seconds(10));
    assert_eq!(report.took(), seconds(30));
}

#[tokio::test(start_paused = true)]
async fn draining_and_weightless_members_count_on_neither_side() {
    let upstream = upstream(3);
    sicken(&upstream, "green-1");
    sicken(&upstream, "green-2");
    upstream
        .apply(
            Change::new()
                .drain(id("green-1"), "old")
                .set_weight(id("green-2"), Weight::ZERO),
        )
        .unwrap();
    run(&upstream, Gate::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_group_with_nobody_in_service_is_refused() {
    let upstream = upstream(1);
    upstream
        .apply(Change::new().drain(id("green-1"), "old"))
        .unwrap();
    let gate = Gate::new()
        .with_tries(0)
        .with_check(async |_: Arc<Endpoint>| Ok(()));
    let error = run(&upstream, gate).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "group `green` was not ready after 1 tries: none of its endpoints is in service",
    );
    assert_eq!(active(&upstream).as_deref(), Some("blue"));
}

#[tokio::test(start_paused = true)]
async fn all_endpoints_are_asked_at_the_same_time_at_each_try() {
    let upstream = upstream(3);
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let gate = Gate::new().with_check(move |endpoint: Arc<Endpoint>| {
        let count = Arc::clone(&count);
        async move {
            assert_eq!(endpoint.group(), Some(&group("green")));
            let number = count.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(seconds(4)).await;
            if number < 3 {
                Err(Reason::from("503"))
            } else {
                Ok(())
            }
        }
    });
    let report = run(&upstream, gate).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 6);
    assert_eq!(report.took(), seconds(14)); // one try of 4 s, 6 s of waiting, another try of 4 s
}

#[tokio::test(start_paused = true)]
async fn a_check_without_an_answer_has_failed_when_the_next_try_is_due() {
    let (upstream, begun) = (upstream(2), Instant::now());
    let gate = Gate::new()
        .with_tries(2)
        .with_check(async |endpoint: Arc<Endpoint>| {
            if endpoint.id().as_str() == "green-1" {
                return Ok(());
            }
            pending().await
        });
    let error = run(&upstream, gate).await.unwrap_err();
    assert_eq!(
        unfit(&error),
        [(
            "green-2".to_owned(),
            "check: no answer within 10s".to_owned()
        )]
    );
    assert_eq!(begun.elapsed(), seconds(20));
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_the_checks_run_is_judged_again_before_the_switch() {
    let upstream = upstream(1);
    let clone = upstream.clone();
    let first = Arc::new(AtomicU32::new(0));
    let gate = Gate::new().with_check(move |_: Arc<Endpoint>| {
        let (clone, first) = (clone.clone(), Arc::clone(&first));
        async move {
            if first.fetch_add(1, Ordering::Relaxed) == 0 {
                clone.apply(Change::new().add(member("green", 7))).unwrap();
            }
            Ok(())
        }
    });
    let report = run(&upstream, gate).await.unwrap();
    let Step::NotReady { number: 1, unfit } = &report.steps[0].step else {
        panic!("{report:?}");
    };
    assert_eq!(unfit[0].endpoint, id("green-7"));
    assert_eq!(unfit[0].reason.as_str(), "check: not asked yet");
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_an_old_address_does_not_count_for_a_new_one() {
    let upstream = upstream(1);
    let clone = upstream.clone();
    let gate = Gate::new()
        .with_tries(1)
        .with_check(move |_: Arc<Endpoint>| {
            let mut moved = member("green", 1);
            moved.address = "127.0.0.1:9".parse().unwrap();
            clone
                .apply(Change::new().replace([member("blue", 1), moved]))
                .unwrap();
            async { Ok(()) }
        });
    let error = run(&upstream, gate).await.unwrap_err();
    assert_eq!(
        unfit(&error),
        [("green-1".to_owned(), "check: not asked yet".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn the_share_decides_exactly_for_every_group_of_up_to_ten() {
    for all in 1..=10_u16 {
        for fit in 0..=all {
            for needed in 1..=all {
                let upstream = upstream(all);
                for number in fit + 1..=all {
                    sicken(&upstream, &format!("green-{number}"));
                }
                let share = Share::new(f64::from(needed) / f64::from(all)).unwrap();
                let gate = Gate::new().with_tries(1).with_share(share);
                let result = run(&upstream, gate).await;
                assert_eq!(
                    result.is_ok(),
                    fit >= needed,
                    "{fit} of {all}, {needed} needed"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_must_be_fit_however_small_the_share() {
    let upstream = upstream(1);
    sicken(&upstream, "green-1");
    let gate = Gate::new()
        .with_tries(1)
        .with_share(Share::new(1e-300).unwrap());
    assert!(run(&upstream, gate).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn no_setting_of_the_gate_panics_or_hangs() {
    let upstream = upstream(1);
    sicken(&upstream, "green-1");
    let gate = Gate::new().with_tries(3).with_interval(seconds(0));
    assert!(run(&upstream, gate).await.is_err());
    heal(&upstream, "green-1");
    let gate = Gate::new()
        .with_tries(u32::MAX)
        .with_interval(std::time::Duration::MAX)
        .with_check(async |_: Arc<Endpoint>| Ok(()));
    run(&upstream, gate).await.unwrap();
    assert_eq!(endpoint(&upstream, "green-1").record().in_flight(), 0);
}

proptest! {
    #[test]
    fn a_share_is_over_0_and_up_to_1(value in proptest::num::f64::ANY) {
        prop_assert_eq!(Share::new(value).is_ok(), value > 0.0 && value <= 1.0);
    }
}
