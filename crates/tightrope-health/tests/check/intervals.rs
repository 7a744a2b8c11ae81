//! How soon members are asked again, by how they fare.

use std::{sync::Arc, time::Duration};

use tightrope_health::HealthCheck;
use tightrope_upstream::{Failure, Health, Outcome, Upstream};
use tokio::time::Instant;

use super::scripted::{Answer, SECOND, Scripted, Sight, check, name, scripted, upstream, verdict};

/// A check with another interval at each pace: 8 s, unhealthy 4 s, changing 1 s.
fn paced(upstream: &Upstream, probe: &Scripted) -> HealthCheck {
    let check = check(upstream, probe);
    let check = check.with_interval(8 * SECOND).unwrap();
    let check = check.with_unhealthy_interval(4 * SECOND).unwrap();
    check.with_changing_interval(SECOND).unwrap()
}

/// The seconds after which the next probes of the only member begin; each is told beforehand
/// whether it passes, `+`, or fails, `-`.
async fn gaps(probe: &Scripted, sight: &mut Sight, answers: &str) -> Vec<u64> {
    let mut before = Instant::now();
    let mut gaps = Vec::new();
    for answer in answers.chars() {
        let answer = match answer {
            '+' => Answer::Pass,
            _ => Answer::Fail,
        };
        probe.answer(&name(1), answer);
        let (_, at) = sight.began().await;
        gaps.push((at - before).as_secs());
        before = at;
    }
    gaps
}

fn attempt(upstream: &Upstream) -> tightrope_upstream::Pick {
    let member = Arc::clone(&upstream.snapshot().members()[0]);
    member.pick().unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_state_has_its_interval() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let _task = paced(&upstream, &probe).spawn();
    // Healthy; two failures and the verdict; unhealthy; two passes; healthy again.
    let gaps = gaps(&probe, &mut sight, "++-----++++").await;
    assert_eq!(gaps, [0, 8, 8, 1, 1, 4, 4, 4, 1, 8, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_bears_the_verdict_out_ends_the_haste() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let _task = paced(&upstream, &probe).spawn();
    let gaps = gaps(&probe, &mut sight, "+--++---+-+").await;
    assert_eq!(gaps, [0, 8, 1, 1, 8, 8, 1, 1, 4, 1, 4]);
}

#[tokio::test(start_paused = true)]
async fn one_interval_is_that_of_all_states_by_default() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let _task = check(&upstream, &probe).spawn();
    let gaps = gaps(&probe, &mut sight, "++----+-++").await;
    assert_eq!(gaps, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn members_without_traffic_are_asked_less_often() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let check = paced(&upstream, &probe);
    let _task = check.with_idle_interval(60 * SECOND).unwrap().spawn();
    assert_eq!(gaps(&probe, &mut sight, "++").await, [0, 60]);
    // One that ended since the probe before, and then one that lasts.
    drop(attempt(&upstream));
    assert_eq!(gaps(&probe, &mut sight, "+").await, [60]);
    let lasting = attempt(&upstream);
    assert_eq!(gaps(&probe, &mut sight, "++").await, [8, 8]);
    drop(lasting);
    assert_eq!(gaps(&probe, &mut sight, "+++").await, [8, 8, 60]);
}

#[tokio::test(start_paused = true)]
async fn who_is_sick_or_may_be_is_no_less_watched_without_traffic() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let check = paced(&upstream, &probe);
    let _task = check.with_idle_interval(60 * SECOND).unwrap().spawn();
    let gaps = gaps(&probe, &mut sight, "+---+++").await;
    assert_eq!(gaps, [0, 60, 1, 1, 4, 1, 60]);
}

#[tokio::test(start_paused = true)]
async fn whom_live_traffic_took_out_is_asked_as_soon_as_any_who_is_unhealthy() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let mut events = upstream.events();
    let check = paced(&upstream, &probe).with_fall(1).unwrap();
    let task = check.with_idle_interval(60 * SECOND).unwrap().spawn();
    let (_, began) = sight.began().await;
    tokio::time::sleep(SECOND).await;
    let member = Arc::clone(&upstream.snapshot().members()[0]);
    let refused = Outcome::Failure(Failure::Connect);
    task.live_reports().report(&member, refused);
    assert_eq!(verdict(&mut events).await.1, Health::Unhealthy);
    assert_eq!(sight.began().await.1, began + 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_each_of_the_intervals() {
    let (probe, mut sight) = scripted();
    probe.answer(&name(1), Answer::Fail);
    let upstream = upstream(Health::Unhealthy, [1]);
    let check = paced(&upstream, &probe).with_jitter(0.5).unwrap();
    let _task = check.spawn();
    let (_, mut before) = sight.began().await;
    for _ in 0..50 {
        let (_, at) = sight.began().await;
        // Timers have a resolution of a millisecond.
        let bounds = 2 * SECOND..=4 * SECOND + Duration::from_millis(1);
        assert!(bounds.contains(&(at - before)), "{:?}", at - before);
        before = at;
    }
}
