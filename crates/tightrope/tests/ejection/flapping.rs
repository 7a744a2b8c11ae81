//! A server that is bad again and again, or still.

use std::time::Duration;

use tightrope::balance::{LeastRequest, PeakEwma, RoundRobin};
use tokio::time::sleep;

use super::world::{Answer, Make, SECOND, Script, World};

const STRATEGIES: [(&str, Make); 3] = [
    ("round robin", |_| Box::new(RoundRobin::new())),
    ("least request", |_| Box::new(LeastRequest::new())),
    ("peak ewma", |_| Box::new(PeakEwma::new())),
];

/// Bad for 4 s, well for 3 s.
fn flaps(server: usize, at: Duration) -> Answer {
    match server {
        0 if at.as_secs() % 7 < 4 => Answer::Bad,
        _ => Answer::Good,
    }
}

fn stays_bad(server: usize, _: Duration) -> Answer {
    match server {
        0 => Answer::Bad,
        _ => Answer::Good,
    }
}

/// How many requests fail in five minutes of 200 a second.
async fn failed(make: Make, script: Script) -> usize {
    let mut world = World::new(5, script);
    let task = world.detect(|detection| detection);
    let strategy = make(&mut world);
    world.clients(4, strategy, Some(task.reports()));
    sleep(300 * SECOND).await;
    let requests = world.requests();
    assert!(requests.len() > 59_000, "{}", requests.len());
    requests.iter().filter(|it| it.failed).count()
}

#[tokio::test(start_paused = true)]
async fn who_stays_bad_costs_five_requests_and_one_for_each_return() {
    for (name, make) in STRATEGIES {
        // It is back after 30, 90 and 180 s; where it gets few requests, a little later.
        let failed = failed(make, stays_bad).await;
        assert!((6..=12).contains(&failed), "{name}: {failed}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_flaps_costs_a_few_requests_a_minute() {
    for (name, make) in STRATEGIES {
        // Of 60,000, where a fifth of 4 s in 7 would be 6,800.
        let failed = failed(make, flaps).await;
        assert!((6..=60).contains(&failed), "{name}: {failed}");
    }
}
