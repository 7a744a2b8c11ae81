//! Who comes back is not overrun.

use std::time::Duration;

use tightrope::{
    balance::{LeastRequest, PeakEwma, envoy, nginx},
    health::HealthTask,
    upstream::Availability,
};
use tokio::time::sleep;

use super::world::{Answer, MS, Make, SECOND, World};

const STRATEGIES: [(&str, Make); 7] = [
    ("least request", |_| Box::new(LeastRequest::new())),
    ("of all", |_| Box::new(LeastRequest::full_scan())),
    ("peak ewma", |_| Box::new(PeakEwma::new())),
    ("of all by ewma", |_| Box::new(PeakEwma::full_scan())),
    ("prequal", |world| Box::new(world.prequal())),
    ("envoy", |_| Box::new(envoy::LeastRequest::new())),
    ("nginx", |_| Box::new(nginx::LeastConn::new())),
];

const SERVERS: usize = 5;
const CLIENTS: usize = 50;

fn well_from_2_s_on(server: usize, at: Duration) -> Answer {
    match server {
        0 if at < 2 * SECOND => Answer::BadAtOnce,
        _ => Answer::Good,
    }
}

/// Ejects a server for its first failure, so that a penalty of many does not keep the others away, and
/// lets it come back after `time`, or sooner if `probe` finds it well.
async fn comes_back(
    name: &str,
    make: Make,
    time: Duration,
    probe: fn(&World) -> Option<HealthTask>,
) {
    let mut world = World::new(SERVERS, well_from_2_s_on);
    let task = world.detect(|detection| {
        let detection = detection.with_consecutive_failures(Some(1)).unwrap();
        let detection = detection.with_success_rate(None);
        detection.with_times(time, time).unwrap()
    });
    let _health = probe(&world);
    let strategy = make(&mut world);
    world.clients(CLIENTS, strategy, Some(task.reports()));
    world.until(0, Availability::Ejected).await;
    world.until(0, Availability::Available).await;
    let back = world.elapsed();
    sleep(3 * SECOND).await;

    assert!(world.ejected().is_empty(), "{name}");
    let requests = world.requests();
    let since: Vec<_> = requests.iter().filter(|it| it.at >= back).collect();
    let there = since.iter().filter(|it| it.server == 0);
    // Who draws may miss the least busy, and what Prequal is told is a little old.
    let busier = there
        .clone()
        .map(|it| it.in_flight - it.elsewhere.min(it.in_flight));
    assert!(
        busier.clone().max() <= Some(6),
        "{name}: {:?}",
        busier.max()
    );
    // There are 2,500 requests a second, of which a fifth is its share.
    let within = |time: Duration| there.clone().filter(|it| it.at < back + time).count();
    let got = [within(20 * MS), within(100 * MS), within(SECOND)];
    assert!(
        got[0] <= 15 && got[1] <= 65 && got[2] <= 550,
        "{name}: {got:?}"
    );
    let later = within(3 * SECOND) - within(2 * SECOND);
    assert!((450..=550).contains(&later), "{name}: {later}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_when_its_time_is_over_gets_its_share_and_no_more() {
    for (name, make) in STRATEGIES {
        comes_back(name, make, 3 * SECOND, |_| None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_by_probes_gets_its_share_and_no_more() {
    for (name, make) in STRATEGIES {
        comes_back(name, make, 30 * SECOND, |world| Some(world.probe())).await;
    }
}
