//! When members are probed.

use std::time::Duration;

use tightrope_upstream::Health;
use tokio::time::Instant;

use super::scripted::{Answer, SECOND, Seen, check, name, scripted, upstream};

#[tokio::test(start_paused = true)]
async fn members_are_probed_at_once_and_then_once_per_interval() {
    let (probe, mut sight) = scripted();
    let start = Instant::now();
    let _task = check(&upstream(Health::Healthy, [1]), &probe).spawn();
    for second in 0..5 {
        assert_eq!(sight.began().await, (name(1), start + second * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn all_members_are_probed_side_by_side() {
    let (probe, mut sight) = scripted();
    let start = Instant::now();
    let _task = check(&upstream(Health::Healthy, 1..=100), &probe).spawn();
    for port in 1..=100 {
        probe.answer(&name(port), Answer::Hang);
    }
    for port in 1..=100 {
        assert_eq!(sight.began().await, (name(port), start));
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_intervals_and_never_stretches_them() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let check = check(&upstream, &probe).with_jitter(0.2).unwrap();
    let _task = check.with_seed(7).spawn();
    let (_, mut before) = sight.began().await;
    let mut gaps = Vec::new();
    for _ in 0..200 {
        let (_, at) = sight.began().await;
        gaps.push(at - before);
        before = at;
    }
    // Timers have a resolution of a millisecond.
    let bounds = SECOND * 8 / 10..=SECOND + Duration::from_millis(1);
    assert!(gaps.iter().all(|gap| bounds.contains(gap)), "{gaps:?}");
    let spread = *gaps.iter().max().unwrap() - *gaps.iter().min().unwrap();
    assert!(spread > SECOND * 15 / 100, "{spread:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_probes_at_the_same_times() {
    async fn times(seed: u64) -> Vec<Duration> {
        let (probe, mut sight) = scripted();
        let start = Instant::now();
        let upstream = upstream(Health::Healthy, [1, 2]);
        let check = check(&upstream, &probe).with_jitter(0.5).unwrap();
        let _task = check.with_seed(seed).spawn();
        let mut times = Vec::new();
        for _ in 0..20 {
            times.push(sight.began().await.1 - start);
        }
        times
    }
    assert_eq!(times(7).await, times(7).await);
    assert_ne!(times(7).await, times(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_takes_longer_than_the_interval_is_not_overtaken() {
    let (probe, mut sight) = scripted();
    probe.answer(&name(1), Answer::Hang);
    let start = Instant::now();
    let check = check(&upstream(Health::Healthy, [1]), &probe);
    let _task = check.with_timeout(3 * SECOND).unwrap().spawn();
    assert_eq!(sight.next().await, Seen::Began(name(1), start));
    assert_eq!(sight.next().await, Seen::Dropped(name(1)));
    let (_, again) = sight.began().await;
    let late = again - (start + 3 * SECOND);
    assert!(late < Duration::from_millis(5), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn the_longest_interval_and_timeout_are_held_out() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let check = check(&upstream, &probe)
        .with_interval(Duration::MAX)
        .unwrap();
    let _task = check.with_timeout(Duration::MAX).unwrap().spawn();
    sight.began().await;
    assert!(sight.is_still_for(3600 * SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn the_shortest_interval_leaves_room_for_all_else() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let check = check(&upstream, &probe);
    let task = check
        .with_interval(Duration::from_nanos(1))
        .unwrap()
        .spawn();
    for _ in 0..1000 {
        sight.began().await;
    }
    drop(task);
}
