//! Everybody is bad, be they many, two or one.

use std::time::Duration;

use tightrope::{
    balance::{LeastRequest, RoundRobin},
    health::outlier::Detector,
};
use tokio::time::sleep;

use super::world::{Answer, Request, SECOND, World};

fn outage(_: usize, at: Duration) -> Answer {
    match at.as_secs() {
        5..60 => Answer::Bad,
        _ => Answer::Good,
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_fleet_that_turns_bad_together_a_tenth_is_out_and_all_come_back() {
    let mut world = World::new(20, outage);
    let task = world.detect(|detection| detection);
    world.clients(20, LeastRequest::new(), Some(task.reports()));
    for _ in 0..59 {
        sleep(SECOND).await;
        assert!(world.ejected().len() <= 2, "{:?}", world.ejected());
    }
    assert_eq!(world.ejected().len(), 2);
    let verdicts = task.counts().of(Detector::ConsecutiveFailures);
    assert!(verdicts.spared_by_cap > 100, "{verdicts:?}");

    sleep(60 * SECOND).await;
    assert!(world.ejected().is_empty());
    world.requests();
    sleep(10 * SECOND).await;
    let requests = world.requests();
    for server in 0..20 {
        let got = to(&requests, server);
        assert!(got.abs_diff(500) < 75, "{server}: {got}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_the_bad_one_is_out_and_the_last_one_stays_whatever_it_does() {
    // 1 is bad from 10 s on, for 5 s.
    let script = |server: usize, at: Duration| match server {
        0 => Answer::Bad,
        _ if (10..15).contains(&at.as_secs()) => Answer::Bad,
        _ => Answer::Good,
    };
    let mut world = World::new(2, script);
    let task = world.detect(|detection| detection);
    world.clients(4, RoundRobin::new(), Some(task.reports()));
    sleep(10 * SECOND).await;
    assert_eq!(world.ejected(), [0]);
    // The fifth failure, and what was there when it came.
    let got = to(&world.requests(), 0);
    assert!((5..=8).contains(&got), "{got}");

    sleep(5 * SECOND).await;
    assert_eq!(world.ejected(), [0]);
    let requests = world.requests();
    assert_eq!(to(&requests, 1), requests.len());
    assert!(requests.iter().all(|it| it.failed));

    sleep(10 * SECOND).await;
    assert_eq!(world.ejected(), [0]);
    let requests = world.requests();
    assert_eq!(to(&requests, 1), requests.len());
    assert!(requests.iter().all(|it| !it.failed));
}

#[tokio::test(start_paused = true)]
async fn the_only_one_is_never_out() {
    let mut world = World::new(1, outage);
    let task = world.detect(|detection| detection);
    world.clients(4, LeastRequest::new(), Some(task.reports()));
    for _ in 0..70 {
        sleep(SECOND).await;
        assert!(world.ejected().is_empty());
    }
    // 200 a second, through it all.
    assert_eq!(world.requests().len(), 14_000);
    let verdicts = task.counts().of(Detector::ConsecutiveFailures);
    assert!(
        verdicts.ejected == 0 && verdicts.spared_by_cap > 1_000,
        "{verdicts:?}"
    );
}

fn to(requests: &[Request], server: usize) -> usize {
    requests.iter().filter(|it| it.server == server).count()
}
