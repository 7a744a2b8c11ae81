//! What comes of probes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tightrope_upstream::{Change, Follower, Health, Snapshot};
use tokio::time::Instant;

use super::scripted::{Answer, SECOND, check, id, name, scripted, upstream, verdict};

#[tokio::test(start_paused = true)]
async fn fall_failures_in_a_row_make_a_member_unhealthy() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1, 2]);
    let mut events = upstream.events();
    let start = Instant::now();
    probe.answer(&name(1), Answer::Fail);
    let _task = check(&upstream, &probe).spawn();
    let (who, health, reason) = verdict(&mut events).await;
    assert_eq!((who, health), (name(1), Health::Unhealthy));
    assert_eq!(reason, "probe: as scripted");
    assert_eq!(start.elapsed(), 2 * SECOND); // at 0, 1 and 2
    assert_eq!(upstream.snapshot().available(), [1]);
    sight.began().await;
}

#[tokio::test(start_paused = true)]
async fn rise_probes_in_a_row_bring_a_member_back() {
    let (probe, _sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let mut events = upstream.events();
    let start = Instant::now();
    probe.answer(&name(1), Answer::Fail);
    let _task = check(&upstream, &probe).spawn();
    verdict(&mut events).await;
    probe.answer(&name(1), Answer::Pass);
    let back = (name(1), Health::Healthy, "probe: passed".to_owned());
    assert_eq!(verdict(&mut events).await, back);
    assert_eq!(start.elapsed(), 4 * SECOND); // passed at 3 and 4
}

#[tokio::test(start_paused = true)]
async fn with_rise_one_a_restarted_server_is_back_within_an_interval() {
    let (probe, _sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let mut events = upstream.events();
    probe.answer(&name(1), Answer::Fail);
    let check = check(&upstream, &probe).with_jitter(0.5).unwrap();
    let _task = check.with_rise(1).unwrap().spawn();
    verdict(&mut events).await;
    let restarted = Instant::now();
    probe.answer(&name(1), Answer::Pass);
    verdict(&mut events).await;
    assert!(restarted.elapsed() <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn members_that_start_unhealthy_are_in_after_their_first_probe() {
    let (probe, _sight) = scripted();
    let upstream = upstream(Health::Unhealthy, [1]);
    let mut events = upstream.events();
    let start = Instant::now();
    let _task = check(&upstream, &probe).spawn();
    assert_eq!(verdict(&mut events).await.1, Health::Healthy);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_fails_after_the_timeout() {
    let (probe, _sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let mut events = upstream.events();
    let start = Instant::now();
    probe.answer(&name(1), Answer::Hang);
    let _task = check(&upstream, &probe).with_fall(1).unwrap().spawn();
    let (_, health, reason) = verdict(&mut events).await;
    assert_eq!(health, Health::Unhealthy);
    assert_eq!(reason, "probe: no answer within 500ms");
    assert!(start.elapsed() < SECOND * 6 / 10);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_fails_and_harms_no_other() {
    let (probe, _sight) = scripted();
    let upstream = upstream(Health::Healthy, [1, 2]);
    let mut events = upstream.events();
    probe.answer(&name(1), Answer::Panic);
    let _task = check(&upstream, &probe).spawn();
    let panicked = "probe: panicked".to_owned();
    assert_eq!(
        verdict(&mut events).await,
        (name(1), Health::Unhealthy, panicked)
    );
    probe.answer(&name(2), Answer::Fail);
    assert_eq!(verdict(&mut events).await.0, name(2));
    probe.answer(&name(1), Answer::Pass);
    let passed = "probe: passed".to_owned();
    assert_eq!(
        verdict(&mut events).await,
        (name(1), Health::Healthy, passed)
    );
}

#[tokio::test(start_paused = true)]
async fn many_verdicts_at_a_time_are_one_change() {
    let (probe, _sight) = scripted();
    let upstream = upstream(Health::Unhealthy, 1..=50);
    let before = upstream.snapshot().generation();
    let mut events = upstream.events();
    let _task = check(&upstream, &probe).spawn();
    for _ in 1..=50 {
        verdict(&mut events).await;
    }
    assert_eq!(upstream.snapshot().available().len(), 50);
    assert!(upstream.snapshot().generation() - before <= 5);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_somebody_else_set_is_where_the_next_starts_from() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let _task = check(&upstream, &probe).spawn();
    sight.began().await;
    let by_hand = Change::new().set_health(id(1), Health::Unhealthy, "by hand");
    upstream.apply(by_hand).unwrap();
    let mut events = upstream.events();
    assert_eq!(verdict(&mut events).await.1, Health::Healthy);
}

/// Panics when it is to follow the first snapshot in which nobody is available.
struct Panicky(AtomicBool);

impl Follower for Panicky {
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        let first = snapshot.available().is_empty() && !self.0.swap(true, Ordering::Relaxed);
        assert!(!first, "as scripted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_panics_does_not_end_the_check() {
    let (probe, _sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let panicky: Arc<dyn Follower> = Arc::new(Panicky(AtomicBool::new(false)));
    upstream.follow(Arc::downgrade(&panicky));
    let mut events = upstream.events();
    probe.answer(&name(1), Answer::Fail);
    let _task = check(&upstream, &probe).spawn();
    assert_eq!(verdict(&mut events).await.1, Health::Unhealthy);
    probe.answer(&name(1), Answer::Pass);
    assert_eq!(verdict(&mut events).await.1, Health::Healthy);
}
