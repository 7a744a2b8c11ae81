//! The whole way of a rollout, back, and with others on the same road.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use super::world::{active, endpoint, group, id, member, seconds, to_green, upstream};
use tightrope_rollout::{BlueGreen, Gate, RollbackError, RolloutError, Step, Verify};
use tightrope_upstream::{Change, Endpoint, Health, Upstream};
use tokio::time::sleep;

/// What `future` gives, or nothing when it is dropped after so many polls.
async fn polled<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// With an await in every step: a check that takes a second, a look at traffic, and an attempt on blue that takes
/// longer than both.
fn thorough(upstream: &Upstream) -> BlueGreen {
    let gate = Gate::new().with_check(async |_: Arc<Endpoint>| {
        sleep(seconds(1)).await;
        Ok(())
    });
    to_green(upstream)
        .with_gate(gate)
        .with_verify(Verify::new(seconds(3)))
}

#[tokio::test(start_paused = true)]
async fn the_report_tells_each_step_and_its_time() {
    let upstream = upstream(2);
    let pick = endpoint(&upstream, "blue-1").pick().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&told);
    let rollout = thorough(&upstream).start().unwrap();
    let rollout = rollout.with_progress(move |step| ear.lock().unwrap().push(step.clone()));
    let (report, ()) = tokio::join!(rollout.run(), async {
        sleep(seconds(9)).await;
        drop(pick);
    });
    let report = report.unwrap();
    let [ready, switched, verified, drained] = &report.steps[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        (&ready.step, ready.took),
        (
            &Step::Ready {
                tries: 1,
                unfit: Vec::new()
            },
            seconds(1)
        )
    );
    let (from, to) = (Some(group("blue")), group("green"));
    let generation = upstream.snapshot().generation();
    assert_eq!(
        switched.step,
        Step::Switched {
            generation,
            from,
            to
        }
    );
    assert_eq!(
        (&verified.step, verified.took),
        (
            &Step::Verified {
                succeeded: 0,
                failed: 0
            },
            seconds(3)
        )
    );
    assert_eq!(drained.took, seconds(5));
    assert_eq!(report.generation(), Some(generation));
    assert_eq!(report.drain().unwrap().took, seconds(5));
    assert!(report.drain().unwrap().is_complete());
    assert_eq!(report.took(), seconds(9));
    assert_eq!(*told.lock().unwrap(), report.steps);
}

#[tokio::test(start_paused = true)]
async fn the_switch_is_one_snapshot_and_nothing_new_reaches_the_old_group() {
    let upstream = upstream(2);
    let (before, blue) = (
        upstream.snapshot().generation(),
        endpoint(&upstream, "blue-1"),
    );
    to_green(&upstream).start().unwrap().run().await.unwrap();
    assert_eq!(upstream.snapshot().generation(), before + 1);
    assert!(blue.pick().is_err());
    assert!(endpoint(&upstream, "green-1").pick().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_left_at_the_drain_deadline_is_reported_and_goes_on() {
    let upstream = upstream(1);
    let pick = endpoint(&upstream, "blue-1").pick().unwrap();
    let plan = to_green(&upstream).with_drain_deadline(seconds(20));
    let report = plan.start().unwrap().run().await.unwrap();
    assert_eq!(report.took(), seconds(20));
    assert_eq!(report.drain().unwrap().remaining, [(id("blue-1"), 1)]);
    assert_eq!(pick.endpoint().record().in_flight(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_drain_deadline_is_thirty_seconds_unless_told_otherwise() {
    let upstream = upstream(1);
    let _pick = endpoint(&upstream, "blue-1").pick().unwrap();
    let report = to_green(&upstream).start().unwrap().run().await.unwrap();
    assert_eq!(report.took(), seconds(30));
}

#[test]
fn a_group_that_is_unknown_or_has_the_traffic_is_refused_at_once() {
    let upstream = upstream(1);
    let start = |name| BlueGreen::new(&upstream, group(name)).start().map(drop);
    let unknown = group("purple");
    assert_eq!(
        start("purple"),
        Err(RolloutError::UnknownGroup { group: unknown })
    );
    assert_eq!(
        start("blue"),
        Err(RolloutError::AlreadyActive {
            group: group("blue")
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_that_leaves_before_the_switch_changes_nothing() {
    let upstream = upstream(1);
    let rollout = to_green(&upstream)
        .with_gate(Gate::new().with_tries(2))
        .start()
        .unwrap();
    upstream.apply(Change::new().remove(id("green-1"))).unwrap();
    let error = rollout.run().await.unwrap_err();
    assert!(
        matches!(error, RolloutError::NotReady { tries: 2, ref unfit, .. } if unfit.is_empty())
    );
    assert_eq!(active(&upstream).as_deref(), Some("blue"));
}

#[tokio::test(start_paused = true)]
async fn everybody_can_lose_the_traffic_and_get_it_back() {
    let upstream = Upstream::new("shop");
    upstream
        .apply(Change::new().replace([member("blue", 1), member("green", 1)]))
        .unwrap();
    let rollout = to_green(&upstream).start().unwrap();
    let rollback = rollout.rollback();
    rollout.run().await.unwrap();
    assert_eq!(active(&upstream).as_deref(), Some("green"));
    rollback.now("by hand").unwrap();
    assert_eq!(active(&upstream), None);
}

#[tokio::test(start_paused = true)]
async fn other_writers_do_not_get_in_the_way() {
    let upstream = upstream(2);
    let clone = upstream.clone();
    let gate = Gate::new().with_check(move |_: Arc<Endpoint>| {
        clone
            .apply(Change::new().set_health(id("blue-1"), Health::Unhealthy, "x"))
            .unwrap();
        async { Ok(()) }
    });
    let rollout = to_green(&upstream).with_gate(gate).start().unwrap();
    upstream
        .apply(Change::new().add(member("yellow", 9)))
        .unwrap();
    rollout.run().await.unwrap();
    assert_eq!(active(&upstream).as_deref(), Some("green"));
}

#[tokio::test(start_paused = true)]
async fn of_two_rollouts_at_once_one_wins_and_the_other_changes_nothing() {
    let upstream = upstream(1);
    let green = to_green(&upstream).start().unwrap();
    let yellow = BlueGreen::new(&upstream, group("yellow")).start().unwrap();
    let late = yellow.rollback();
    let (green, yellow) = tokio::join!(green.run(), yellow.run());
    green.unwrap();
    assert_eq!(
        yellow,
        Err(RolloutError::Superseded {
            active: Some(group("green"))
        })
    );
    let generation = upstream.snapshot().generation();
    late.now("never mind").unwrap();
    assert_eq!(upstream.snapshot().generation(), generation);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_is_overtaken_says_so_and_cannot_be_rolled_back() {
    let upstream = upstream(1);
    let rollout = to_green(&upstream)
        .with_verify(Verify::new(seconds(60)))
        .start()
        .unwrap();
    let rollback = rollout.rollback();
    let (result, ()) = tokio::join!(rollout.run(), async {
        sleep(seconds(5)).await;
        BlueGreen::new(&upstream, group("yellow"))
            .start()
            .unwrap()
            .run()
            .await
            .unwrap();
    });
    let yellow = Some(group("yellow"));
    assert!(matches!(result, Err(RolloutError::Overtaken { active, .. }) if active == yellow));
    let refused = rollback.now("by hand").unwrap_err();
    assert_eq!(refused, RollbackError::Superseded { active: yellow });
    assert_eq!(active(&upstream).as_deref(), Some("yellow"));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_before_the_run_cancels_it() {
    let upstream = upstream(1);
    let before = upstream.snapshot().generation();
    let rollout = to_green(&upstream).start().unwrap();
    let update = rollout.rollback().now("not today").unwrap();
    assert!(update.is_applied() && update.leaving().is_empty());
    let error = rollout.run().await.unwrap_err();
    assert_eq!(
        error,
        RolloutError::Cancelled {
            reason: "not today".into()
        }
    );
    assert_eq!(upstream.snapshot().generation(), before);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_works_at_every_moment() {
    // Gate until 1 s, verification until 4 s, drain until 9 s (at a tie the rollback counts), then nothing more.
    for tenths in (0..110).step_by(3) {
        let upstream = upstream(1);
        let before = upstream.snapshot().generation();
        let blue = endpoint(&upstream, "blue-1");
        let pick = blue.pick().unwrap();
        let rollout = thorough(&upstream).start().unwrap();
        let rollback = rollout.rollback();
        let (result, (), update) = tokio::join!(
            rollout.run(),
            async {
                sleep(seconds(9)).await;
                drop(pick);
            },
            async {
                sleep(Duration::from_millis(100 * tenths)).await;
                let update = rollback.now("by hand").unwrap();
                // At once, without an await: blue can be picked, green cannot.
                assert_eq!(active(&upstream).as_deref(), Some("blue"), "at {tenths}");
                assert!(update.is_applied() && blue.pick().is_ok());
                assert!(endpoint(&upstream, "green-1").pick().is_err());
                update
            },
        );
        let again = rollback.now("again").unwrap();
        assert_eq!(again.generation(), update.generation());
        match result {
            Err(RolloutError::Cancelled { reason }) => {
                assert!(tenths < 10 && reason.as_str() == "by hand");
                assert_eq!(upstream.snapshot().generation(), before);
            }
            Err(RolloutError::RolledBack { reason, report }) => {
                assert!((10..=90).contains(&tenths) && reason.as_str() == "by hand");
                assert_eq!(upstream.snapshot().generation(), before + 2);
                assert!(report.drain().unwrap().is_complete());
            }
            Ok(_) => assert!(tenths > 90),
            Err(other) => panic!("{other:?} at {tenths}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_from_within_the_progress_is_obeyed() {
    for unwanted in 0..3 {
        let upstream = upstream(1);
        let rollout = thorough(&upstream).start().unwrap();
        let rollback = rollout.rollback();
        let mut number = 0;
        let rollout = rollout.with_progress(move |_| {
            if number == unwanted {
                rollback.now("seen enough").unwrap();
            }
            number += 1;
        });
        let result = rollout.run().await;
        // After the last await nothing is left to end early, so the rollout may be over by then.
        assert!(
            matches!(result, Ok(_) | Err(RolloutError::RolledBack { .. })),
            "{result:?}"
        );
        assert_eq!(active(&upstream).as_deref(), Some("blue"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_waits_for_what_is_in_flight_on_the_new_group() {
    let upstream = upstream(1);
    let rollout = to_green(&upstream)
        .with_verify(Verify::new(seconds(60)))
        .start()
        .unwrap();
    let rollback = rollout.rollback();
    let (result, ()) = tokio::join!(rollout.run(), async {
        sleep(seconds(1)).await;
        let pick = endpoint(&upstream, "green-1").pick().unwrap();
        rollback.now("by hand").unwrap();
        sleep(seconds(4)).await;
        drop(pick);
    });
    let Err(RolloutError::RolledBack { report, .. }) = result else {
        panic!("{result:?}");
    };
    assert_eq!(report.drain().unwrap().took, seconds(4));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_refused_when_the_old_group_has_left() {
    let upstream = upstream(1);
    let rollout = to_green(&upstream).start().unwrap();
    let rollback = rollout.rollback();
    rollout.run().await.unwrap();
    upstream.apply(Change::new().remove(id("blue-1"))).unwrap();
    assert!(matches!(
        rollback.now("by hand"),
        Err(RollbackError::Refused(_))
    ));
    assert_eq!(active(&upstream).as_deref(), Some("green"));
    // It comes back, and so does the way.
    upstream
        .apply(Change::new().add(member("blue", 1)))
        .unwrap();
    rollback.now("by hand").unwrap();
    assert_eq!(active(&upstream).as_deref(), Some("blue"));
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_the_traffic_stays_where_it_is_and_the_way_back_works() {
    let mut ends = Vec::new();
    for polls in 0.. {
        let upstream = upstream(1);
        let before = upstream.snapshot().generation();
        let pick = endpoint(&upstream, "blue-1").pick().unwrap();
        let rollout = thorough(&upstream).start().unwrap();
        let rollback = rollout.rollback();
        let result = polled(rollout.run(), polls).await;
        drop(pick);
        let left = active(&upstream).unwrap();
        match left.as_str() {
            "blue" => assert_eq!(upstream.snapshot().generation(), before),
            _ => assert_eq!(upstream.snapshot().generation(), before + 1),
        }
        rollback.now("after all").unwrap();
        assert_eq!(active(&upstream).as_deref(), Some("blue"));
        assert!(endpoint(&upstream, "blue-1").pick().is_ok());
        ends.push(left);
        if result.is_some() {
            break;
        }
    }
    assert!(
        ends.is_sorted() && ends[0] == "blue" && ends.len() > 4,
        "{ends:?}"
    );
}
