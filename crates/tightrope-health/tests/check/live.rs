//! What live traffic tells of its endpoints.

use std::{sync::Arc, time::Duration};

use tightrope_health::{HealthTask, ObserveLayer};
use tightrope_upstream::{Classify, Endpoint, Failure, Health, Outcome, Picked, Upstream};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

use super::scripted::{
    Answer, SECOND, Scripted, Seen, Sight, check, name, scripted, upstream, verdict,
};

const REFUSED: Outcome = Outcome::Failure(Failure::Connect);

/// A check whose first probe ended a quarter of a second ago.
async fn watched(initial: Health) -> (Upstream, Scripted, Sight, HealthTask) {
    let (probe, mut sight) = scripted();
    let upstream = upstream(initial, [1]);
    let task = check(&upstream, &probe).spawn();
    sight.began().await;
    tokio::time::advance(SECOND / 4).await;
    (upstream, probe, sight, task)
}

fn member(upstream: &Upstream) -> Arc<Endpoint> {
    Arc::clone(&upstream.snapshot().members()[0])
}

#[tokio::test(start_paused = true)]
async fn connections_that_fail_take_an_endpoint_out_without_a_probe() {
    let (upstream, probe, mut sight, task) = watched(Health::Healthy).await;
    probe.answer(&name(1), Answer::Hang);
    let mut events = upstream.events();
    let failed = Instant::now();
    for failure in [Failure::Connect, Failure::Connect, Failure::ConnectTimeout] {
        let outcome = Outcome::Failure(failure);
        task.live_reports().report(&member(&upstream), outcome);
    }
    let (who, health, reason) = verdict(&mut events).await;
    assert_eq!((who, health), (name(1), Health::Unhealthy));
    assert_eq!(reason, "live traffic: connect timed out");
    assert_eq!(failed.elapsed(), Duration::ZERO);
    drop(task);
    drop(probe);
    sight.is_over().await;
}

#[tokio::test(start_paused = true)]
async fn probes_bring_back_what_live_traffic_took_out() {
    let (upstream, _probe, _sight, task) = watched(Health::Healthy).await;
    let mut events = upstream.events();
    for _ in 0..3 {
        task.live_reports().report(&member(&upstream), REFUSED);
    }
    assert_eq!(verdict(&mut events).await.1, Health::Unhealthy);
    let out = Instant::now();
    assert_eq!(verdict(&mut events).await.1, Health::Healthy);
    assert_eq!(out.elapsed(), SECOND); // the probe that was under way, and the next: rise is 2
}

#[tokio::test(start_paused = true)]
async fn a_failed_connection_and_failed_probes_count_together() {
    let (upstream, probe, _sight, task) = watched(Health::Healthy).await;
    let mut events = upstream.events();
    probe.answer(&name(1), Answer::Fail);
    let failed = Instant::now();
    task.live_reports().report(&member(&upstream), REFUSED);
    let (_, health, reason) = verdict(&mut events).await;
    assert_eq!(health, Health::Unhealthy);
    assert_eq!(reason, "probe: as scripted");
    assert_eq!(failed.elapsed(), SECOND); // live, the probe at once, the next after an interval
}

#[tokio::test(start_paused = true)]
async fn a_suspect_is_probed_at_once() {
    let (upstream, _probe, mut sight, task) = watched(Health::Healthy).await;
    let failed = Instant::now();
    task.live_reports().report(&member(&upstream), REFUSED);
    assert_eq!(sight.began().await, (name(1), failed));
    assert_eq!(sight.began().await, (name(1), failed + SECOND));
}

#[tokio::test(start_paused = true)]
async fn many_failures_do_not_lead_to_as_many_probes() {
    let (upstream, _probe, mut sight, task) = watched(Health::Healthy).await;
    let failed = Instant::now();
    let mut probes = 0;
    // Each probe that passes takes back the failure that called for it.
    while failed.elapsed() < SECOND {
        task.live_reports().report(&member(&upstream), REFUSED);
        sight.began().await;
        probes += 1;
    }
    assert!((9..=12).contains(&probes), "{probes}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_under_way_is_not_called_off_for_another() {
    let (upstream, probe, mut sight, task) = watched(Health::Healthy).await;
    probe.answer(&name(1), Answer::Hang);
    task.live_reports().report(&member(&upstream), REFUSED);
    sight.began().await;
    let began = Instant::now();
    task.live_reports().report(&member(&upstream), REFUSED);
    assert_eq!(sight.next().await, Seen::Dropped(name(1)));
    assert!(began.elapsed() >= SECOND / 2); // its timeout
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_back_what_live_traffic_told() {
    for answered in [Outcome::Success, Outcome::Failure(Failure::Response)] {
        let (upstream, probe, mut sight, task) = watched(Health::Healthy).await;
        probe.answer(&name(1), Answer::Hang);
        let (reports, mut events) = (task.live_reports(), upstream.events());
        reports.report(&member(&upstream), REFUSED);
        reports.report(&member(&upstream), REFUSED);
        sight.began().await; // the check knows of them, and probes
        for outcome in [answered, REFUSED, REFUSED] {
            reports.report(&member(&upstream), outcome);
        }
        // The third failure in a row is the probe, not one of the four that live traffic told.
        let (_, _, reason) = verdict(&mut events).await;
        assert_eq!(reason, "probe: no answer within 500ms", "{answered:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_outcomes_say_nothing() {
    let (upstream, _probe, mut sight, task) = watched(Health::Healthy).await;
    let outcomes = [
        Outcome::Cancelled,
        Outcome::Success,
        Outcome::Failure(Failure::Response),
        Outcome::Failure(Failure::Reset),
        Outcome::Failure(Failure::HeadTimeout),
        Outcome::Failure(Failure::Downstream),
        Outcome::Failure(Failure::Local),
    ];
    for outcome in outcomes.into_iter().cycle().take(70) {
        task.live_reports().report(&member(&upstream), outcome);
    }
    assert!(sight.is_still_for(SECOND / 2).await);
    assert_eq!(upstream.snapshot().available(), [0]);
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_endpoint_is_not_held_up_by_what_is_still_under_way_to_it() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Unhealthy, [1]);
    probe.answer(&name(1), Answer::Fail);
    let task = check(&upstream, &probe).spawn();
    let mut events = upstream.events();
    sight.began().await;
    probe.answer(&name(1), Answer::Pass);
    let start = Instant::now();
    sight.began().await;
    task.live_reports().report(&member(&upstream), REFUSED);
    assert_eq!(verdict(&mut events).await.1, Health::Healthy);
    assert_eq!(start.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn reports_of_strangers_and_after_the_end_are_ignored() {
    let (upstream, probe, mut sight, task) = watched(Health::Healthy).await;
    let reports = task.live_reports();
    let stranger = super::scripted::upstream(Health::Healthy, [1]);
    for _ in 0..3 {
        reports.report(&member(&stranger), REFUSED);
    }
    assert!(sight.is_still_for(SECOND / 2).await);
    drop((task, probe));
    sight.is_over().await;
    for _ in 0..5000 {
        reports.report(&member(&upstream), REFUSED);
    }
    assert_eq!(upstream.snapshot().available(), [0]);
}

// === the middleware ===

/// Takes the error for what it is.
#[derive(Clone)]
struct AsItIs;

impl<T> Classify<T, Failure> for AsItIs {
    fn classify(&self, result: Result<&T, &Failure>) -> Outcome {
        result.map_or_else(|&failure| Outcome::Failure(failure), |_| Outcome::Success)
    }
}

#[tokio::test(start_paused = true)]
async fn the_layer_reports_and_changes_nothing() {
    let (upstream, probe, _sight, task) = watched(Health::Healthy).await;
    probe.answer(&name(1), Answer::Hang);
    let mut events = upstream.events();
    let forward = service_fn(async |picked: Picked<Result<u8, Failure>>| picked.into_parts().0);
    let observed = ObserveLayer::new(task.live_reports(), AsItIs).layer(forward);
    let send = async |request| {
        let pick = member(&upstream).pick().unwrap();
        observed.clone().oneshot(Picked::new(request, pick)).await
    };
    assert_eq!(send(Ok(7)).await, Ok(7));
    for _ in 0..3 {
        assert_eq!(send(Err(Failure::Connect)).await, Err(Failure::Connect));
    }
    assert_eq!(member(&upstream).record().in_flight(), 0);
    assert_eq!(verdict(&mut events).await.2, "live traffic: connect failed");
}
