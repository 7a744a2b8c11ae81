//! A server that stops, and comes back.

use std::time::Duration;

use tightrope::{
    health::{HealthCheck, HttpProbe, ObserveLayer},
    proxy::{Forward, ForwardConfig, HttpClassify},
    upstream::{Availability, Upstream},
};
use tower::Layer;

use super::world::{PATIENCE, World, front, soon};

#[tokio::test]
async fn requests_alternate_and_none_is_lost_when_a_server_stops() {
    let mut world = World::shared().await;
    let first = world.ask().await;
    for number in 1..10 {
        assert_eq!(world.ask().await == first, number % 2 == 0);
    }
    world.blue.stop().await;
    for _ in 0..10 {
        assert_eq!(world.ask().await, "green");
    }
    world.blue.restart().await;
    let mut blue = 0;
    for _ in 0..10 {
        blue += usize::from(world.ask().await == "blue");
    }
    assert_eq!(blue, 5);
}

#[tokio::test]
async fn a_stopped_server_is_skipped_and_comes_back_by_itself() {
    let mut world = World::shared().await;
    let health = HealthCheck::new(&world.upstream, HttpProbe::get("/infra/health").unwrap())
        .with_interval(Duration::from_millis(100))
        .unwrap()
        .with_timeout(PATIENCE)
        .unwrap()
        .with_rise(1)
        .unwrap()
        .with_fall(1)
        .unwrap()
        .spawn();
    let observe = ObserveLayer::new(health.live_reports(), HttpClassify);
    let forward = Forward::new(ForwardConfig::new());
    world.front = front(&world.upstream, observe.layer(forward)).await;

    world.blue.stop().await;
    // The first request that finds it out goes to the other one, and so do all after it.
    for _ in 0..4 {
        assert_eq!(world.ask().await, "green");
    }
    soon(becomes(&world.upstream, Availability::Unhealthy)).await;
    world.blue.restart().await;
    soon(becomes(&world.upstream, Availability::Available)).await;
    let answers = [world.ask().await, world.ask().await];
    assert!(answers.contains(&"blue".to_owned()), "{answers:?}");
}

/// Resolves once the first endpoint is `availability`.
async fn becomes(upstream: &Upstream, availability: Availability) {
    let mut events = upstream.events();
    while upstream.snapshot().availability()[0] != availability {
        events.next().await.unwrap();
    }
}
