//! The task behind a slow start.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use tightrope_health::SlowStart;
use tightrope_upstream::{Change, EndpointSpec, Ramp, Upstream};
use tokio::time::{Instant, sleep};

fn spec(n: u8) -> EndpointSpec {
    EndpointSpec::new(format!("10.0.0.{n}:80").parse().unwrap())
}

fn percent(upstream: &Upstream, index: usize) -> u8 {
    upstream.snapshot().ramp_percent(index)
}

#[tokio::test(start_paused = true)]
async fn weights_grow_by_themselves() {
    let upstream = Upstream::new("slow");
    upstream.apply(Change::new().add(spec(1))).unwrap();
    let ramp = Ramp::new(Duration::from_secs(20)).unwrap();
    let slow_start = SlowStart::spawn(&upstream, ramp);
    sleep(Duration::from_secs(3600)).await;
    upstream.apply(Change::new().add(spec(2))).unwrap();
    let began = Instant::now();
    let mut seen = vec![percent(&upstream, 1)];
    while upstream.snapshot().has_ramps() {
        sleep(Duration::from_millis(500)).await;
        seen.push(percent(&upstream, 1));
    }
    seen.dedup();
    let expected: Vec<u8> = (2..=20).map(|step| step * 5).collect();
    assert_eq!(seen, expected);
    assert!(began.elapsed() < Duration::from_secs(22));
    drop(slow_start);
}

#[tokio::test(start_paused = true)]
async fn without_it_everybody_has_all_and_another_goes_on() {
    let upstream = Upstream::new("slow");
    upstream.apply(Change::new().add(spec(1))).unwrap();
    let ramp = Ramp::new(Duration::from_secs(20)).unwrap();
    let first = SlowStart::spawn(&upstream, ramp);
    upstream.apply(Change::new().add(spec(2))).unwrap();
    sleep(Duration::from_secs(10)).await;
    let second = SlowStart::spawn(&upstream, ramp);
    drop(first);
    assert_eq!(percent(&upstream, 1), 50);
    sleep(Duration::from_millis(5_100)).await;
    assert_eq!(percent(&upstream, 1), 75);
    drop(second);
    assert_eq!(percent(&upstream, 1), 100);
}
