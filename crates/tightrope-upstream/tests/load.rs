//! Latencies and penalties: what is learned of an endpoint from the attempts on it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;
use tightrope_upstream::{
    Change, Decay, Endpoint, Failure, Health, Observer, Outcome, Sample, Upstream,
};
use tokio::time::{Instant, advance};

use crate::members::{id, member};

const MS: Duration = Duration::from_millis(1);
const DECAY: Duration = Duration::from_secs(10);

fn upstream() -> Upstream {
    let upstream = Upstream::new("shop");
    upstream
        .apply(Change::new().replace([member("a")]))
        .unwrap();
    upstream
}

fn endpoint(upstream: &Upstream) -> Arc<Endpoint> {
    Arc::clone(&upstream.snapshot().members()[0])
}

/// The latency of `endpoint` in milliseconds.
fn latency_ms(endpoint: &Endpoint) -> Option<f32> {
    latency_ms_at(endpoint, Instant::now())
}

fn latency_ms_at(endpoint: &Endpoint, at: Instant) -> Option<f32> {
    let record = endpoint.record();
    let latency = record.latency_ns(record.tick(at), Decay::over(DECAY));
    latency.map(|ns| ns / 1e6)
}

fn add(endpoint: &Endpoint, latency: Duration) {
    let record = endpoint.record();
    record.add_latency(record.tick(Instant::now()), latency, Decay::over(DECAY));
}

#[track_caller]
fn assert_near(got: Option<f32>, expected: f64) {
    let got = f64::from(got.unwrap());
    assert!(
        (got / expected - 1.0).abs() < 3e-4,
        "{got} is not {expected}"
    );
}

#[track_caller]
fn fail(endpoint: &Arc<Endpoint>) {
    let mut pick = endpoint.pick().unwrap();
    pick.set_outcome(Outcome::Failure(Failure::Response));
}

#[tokio::test(start_paused = true)]
async fn a_latency_follows_peaks_at_once_and_falls_over_time() {
    let upstream = upstream();
    let a = endpoint(&upstream);
    assert_eq!(latency_ms(&a), None);
    add(&a, 20 * MS);
    assert_near(latency_ms(&a), 20.0);
    add(&a, 100 * MS);
    assert_near(latency_ms(&a), 100.0);
    // At the same instant a lower sample weighs nothing; after `decay` it weighs 1 - 1/e.
    add(&a, 20 * MS);
    assert_near(latency_ms(&a), 100.0);
    advance(DECAY).await;
    add(&a, 20 * MS);
    assert_near(latency_ms(&a), 20.0 + 80.0 / std::f64::consts::E);
}

#[tokio::test(start_paused = true)]
async fn a_latency_that_is_not_renewed_fades_without_being_written() {
    let upstream = upstream();
    let a = endpoint(&upstream);
    add(&a, 100 * MS);
    for seconds in [0, 1, 5, 10, 19] {
        let at = Instant::now() + Duration::from_secs(seconds);
        let latency = latency_ms_at(&a, at).unwrap();
        assert_near(Some(latency), 100.0 * (-(seconds as f64) / 10.0).exp());
    }
    for seconds in [21, 100, 3_600] {
        let at = Instant::now() + Duration::from_secs(seconds);
        assert_eq!(latency_ms_at(&a, at), None);
    }
    // A peak is measured against what was written, not against what it faded to.
    advance(DECAY).await;
    add(&a, 50 * MS);
    assert_near(latency_ms(&a), 50.0 + 50.0 / std::f64::consts::E);
    advance(Duration::from_secs(3_600)).await;
    add(&a, 7 * MS);
    assert_near(latency_ms(&a), 7.0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_did_not_come_only_raises_the_latency() {
    let upstream = upstream();
    let a = endpoint(&upstream);
    a.record()
        .raise_latency(a.record().tick(Instant::now()), 10 * MS);
    assert_eq!(latency_ms(&a), None);
    add(&a, 20 * MS);
    a.record()
        .raise_latency(a.record().tick(Instant::now()), 10 * MS);
    assert_near(latency_ms(&a), 20.0);
    a.record()
        .raise_latency(a.record().tick(Instant::now()), 30 * MS);
    assert_near(latency_ms(&a), 30.0);
}

#[tokio::test(start_paused = true)]
async fn an_assumed_latency_takes_the_place_of_what_was_known() {
    let upstream = upstream();
    let a = endpoint(&upstream);
    let assume = |ms: u32| {
        let record = a.record();
        record.assume_latency(record.tick(Instant::now()), ms * MS);
    };
    assume(30);
    assert_near(latency_ms(&a), 30.0);
    // It weighs as much as one that was measured.
    advance(DECAY).await;
    add(&a, 10 * MS);
    assert_near(latency_ms(&a), 10.0 + 20.0 / std::f64::consts::E);
    add(&a, 3_000 * MS);
    assume(5);
    assert_near(latency_ms(&a), 5.0);
}

#[tokio::test(start_paused = true)]
async fn a_latency_outlives_changes_of_weight_and_group() {
    let upstream = upstream();
    add(&endpoint(&upstream), 20 * MS);
    let weight = tightrope_upstream::Weight::new(7).unwrap();
    let change = Change::new().replace([member("a").with_weight(weight)]);
    upstream.apply(change).unwrap();
    assert_near(latency_ms(&endpoint(&upstream)), 20.0);
}

#[tokio::test(start_paused = true)]
async fn penalties_halve_and_last_longer_from_failure_to_failure() {
    let upstream = upstream();
    let a = endpoint(&upstream);
    let half = |ms: u32| advance(ms * MS);
    assert_eq!(a.record().penalty(), 1);
    fail(&a);
    assert_eq!(a.record().penalty(), 129);
    half(500).await;
    assert_eq!(a.record().penalty(), 65);
    half(500).await;
    assert_eq!(a.record().penalty(), 33);
    // Tried again and failed again.
    for half_life in [4_000, 8_000, 8_000, 8_000] {
        fail(&a);
        assert_eq!(a.record().penalty(), 129);
        half(half_life).await;
        assert_eq!(a.record().penalty(), 65);
        half(half_life).await;
    }
    half(3_600_000).await;
    assert_eq!(a.record().penalty(), 1);
}

#[tokio::test(start_paused = true)]
async fn failures_at_once_are_one() {
    let upstream = upstream();
    let a = endpoint(&upstream);
    for _ in 0..100 {
        fail(&a);
    }
    advance(500 * MS).await;
    assert_eq!(a.record().penalty(), 65);
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_a_penalty_and_so_does_a_probe() {
    let upstream = upstream();
    let a = endpoint(&upstream);
    fail(&a);
    a.pick().unwrap().set_outcome(Outcome::Success);
    assert_eq!(a.record().penalty(), 1);

    fail(&a);
    for health in [Health::Unhealthy, Health::Healthy] {
        assert_eq!(a.record().penalty(), 129);
        let change = Change::new().set_health(id("a"), health, "probe");
        upstream.apply(change).unwrap();
    }
    assert_eq!(a.record().penalty(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_endpoints_fault_is_no_penalty() {
    let upstream = upstream();
    let a = endpoint(&upstream);
    for outcome in [
        Outcome::Failure(Failure::Downstream),
        Outcome::Failure(Failure::DownstreamTimeout),
        Outcome::Failure(Failure::Local),
        Outcome::Cancelled,
    ] {
        a.pick().unwrap().set_outcome(outcome);
        assert_eq!(a.record().penalty(), 1, "{outcome:?}");
    }
}

/// Notes what it is told.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<(Outcome, Duration)>>);

impl Observer for Notes {
    fn observe(&self, endpoint: &Arc<Endpoint>, sample: &Sample) {
        assert_eq!(endpoint.id().as_str(), "a");
        assert_eq!(sample.at, endpoint.record().tick(Instant::now()));
        self.0
            .lock()
            .unwrap()
            .push((sample.outcome, sample.latency));
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_once_when_the_answer_begins() {
    let upstream = upstream();
    let a = endpoint(&upstream);
    let notes = Arc::new(Notes::default());
    let pick = || {
        let observer = Arc::clone(&notes) as Arc<dyn Observer>;
        let since = a.record().tick(Instant::now());
        a.pick().unwrap().observed_by(observer, since)
    };
    let failure = Outcome::Failure(Failure::Reset);

    let mut answered = pick();
    advance(5 * MS).await;
    answered.answered(Outcome::Success);
    answered.answered(failure); // too late
    advance(100 * MS).await;
    answered.set_outcome(Outcome::Success);
    drop(answered);

    let mut failed = pick();
    advance(7 * MS).await;
    failed.set_outcome(failure);
    drop(failed);

    let cancelled = pick();
    advance(9 * MS).await;
    drop(cancelled);

    let notes = notes.0.lock().unwrap().clone();
    let expected = [
        (Outcome::Success, 5 * MS),
        (failure, 7 * MS),
        (Outcome::Cancelled, 9 * MS),
    ];
    assert_eq!(notes, expected);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_after_a_good_answer_is_a_penalty() {
    let upstream = upstream();
    let a = endpoint(&upstream);
    let mut pick = a.pick().unwrap();
    pick.answered(Outcome::Success);
    pick.set_outcome(Outcome::Failure(Failure::Reset));
    drop(pick);
    assert_eq!(a.record().penalty(), 129);
    // A good answer that nobody reads to its end says nothing more.
    let mut pick = a.pick().unwrap();
    pick.answered(Outcome::Success);
    drop(pick);
    assert_eq!(a.record().penalty(), 1);
}

proptest! {
    #[test]
    fn a_latency_stays_between_the_samples_and_only_fades(
        samples in proptest::collection::vec((0..10_000_000_u64, 0..100_000_000_u64), 1..50),
        decay in 1..100_000_u64,
    ) {
        let upstream = upstream();
        let a = endpoint(&upstream);
        let decay = Decay::over(Duration::from_millis(decay));
        let (mut now, mut least, mut most) = (Instant::now(), f32::MAX, 0.0_f32);
        for (after_us, latency_ns) in samples {
            now += Duration::from_micros(after_us);
            a.record().add_latency(a.record().tick(now), Duration::from_nanos(latency_ns), decay);
            least = least.min((latency_ns as f32).max(1.0));
            most = most.max((latency_ns as f32).max(1.0));
            let latency = a.record().latency_ns(a.record().tick(now), decay).unwrap();
            prop_assert!(latency >= least * 0.999 && latency <= most, "{least} {latency} {most}");
            let mut last = latency;
            for later in 1..200 {
                let later = now + Duration::from_millis(later * later);
                let Some(faded) = a.record().latency_ns(a.record().tick(later), decay) else {
                    last = 0.0; // forgotten, for good
                    continue;
                };
                prop_assert!(faded <= last && faded >= 0.0, "{last} {faded}");
                last = faded;
            }
        }
    }
}
