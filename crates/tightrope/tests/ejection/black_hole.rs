//! A server that fails at once looks idle and quick.

use std::time::Duration;

use tightrope::balance::{LeastRequest, PeakEwma, RoundRobin, envoy, nginx};
use tokio::time::{sleep, timeout};

use super::world::{Answer, Make, SECOND, World, most_ahead};

/// Those that take one that fails for a busy one.
const WARY: [(&str, Make); 7] = [
    ("least request", |_| Box::new(LeastRequest::new())),
    ("of 4", |_| Box::new(LeastRequest::with_choices(4))),
    ("of all", |_| Box::new(LeastRequest::full_scan())),
    ("peak ewma", |_| Box::new(PeakEwma::new())),
    ("of 2 by ewma", |_| Box::new(PeakEwma::with_choices(2))),
    ("of all by ewma", |_| Box::new(PeakEwma::full_scan())),
    ("prequal", |world| Box::new(world.prequal())),
];

/// Those that do as other servers do, or do not look at load at all.
const OTHERS: [(&str, Make); 3] = [
    ("envoy", |_| Box::new(envoy::LeastRequest::new())),
    ("nginx", |_| Box::new(nginx::LeastConn::new())),
    ("round robin", |_| Box::new(RoundRobin::new())),
];

const SERVERS: usize = 5;

fn one_fails_at_once(server: usize, _: Duration) -> Answer {
    match server {
        0 => Answer::BadAtOnce,
        _ => Answer::Good,
    }
}

#[tokio::test(start_paused = true)]
async fn it_never_gets_more_than_its_share() {
    for clients in [1, 20, 100] {
        for (name, make) in WARY {
            let mut world = World::new(SERVERS, one_fails_at_once);
            let strategy = make(&mut world);
            world.clients(clients, strategy, None);
            sleep(100 * SECOND / clients as u32).await;
            let requests = world.requests();
            assert!(requests.len() > 4_900, "{}", requests.len());
            // From the first request on, and in the end far less.
            let ahead = most_ahead(&requests, 0, SERVERS);
            assert!(ahead < 1.0, "{name}, {clients} clients: {ahead}");
            let failed = requests.iter().filter(|it| it.failed).count();
            assert!(
                (1..=5).contains(&failed),
                "{name}, {clients} clients: {failed}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_out_by_its_fifth_failure() {
    for (name, make) in WARY {
        let mut world = World::new(SERVERS, one_fails_at_once);
        let task = world.detect(|detection| detection);
        let strategy = make(&mut world);
        world.clients(1, strategy, Some(task.reports()));
        // It gets so few requests that the fifth takes minutes.
        timeout(300 * SECOND, world.until_ejected()).await.unwrap();
        let failed = world.requests().iter().filter(|it| it.failed).count();
        assert_eq!(failed, 5, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_out_in_milliseconds_where_it_draws_everybody() {
    for (name, make) in OTHERS {
        let mut world = World::new(SERVERS, one_fails_at_once);
        let task = world.detect(|detection| detection);
        let strategy = make(&mut world);
        world.clients(100, strategy, Some(task.reports()));
        timeout(SECOND / 100, world.until_ejected()).await.unwrap();
        let failed = world.requests().iter().filter(|it| it.failed).count();
        // A few are there already while the fifth is told.
        assert!((5..10).contains(&failed), "{name}: {failed}");
    }
}
