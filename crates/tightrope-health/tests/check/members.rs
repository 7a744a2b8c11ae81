//! Who is probed.

use std::time::Duration;

use tightrope_upstream::{
    Change, EndpointSpec, EventKind, Events, Group, Health, Upstream, Weight,
};
use tokio::time::Instant;

use super::scripted::{Answer, SECOND, Seen, check, id, name, scripted, spec, upstream, verdict};

#[tokio::test(start_paused = true)]
async fn a_new_member_is_probed_at_once() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let _task = check(&upstream, &probe).spawn();
    sight.began().await;
    tokio::time::advance(SECOND / 4).await;
    let joined = Instant::now();
    upstream.apply(Change::new().add(spec(2))).unwrap();
    assert_eq!(sight.began().await, (name(2), joined));
    assert_eq!(sight.began().await.0, name(1));
    assert_eq!(sight.began().await, (name(2), joined + SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_left_is_probed_no_more() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1, 2]);
    let _task = check(&upstream, &probe).spawn();
    sight.began().await;
    sight.began().await;
    upstream.apply(Change::new().remove(id(1))).unwrap();
    for _ in 0..5 {
        assert_eq!(sight.began().await.0, name(2));
    }
}

#[tokio::test(start_paused = true)]
async fn the_probe_of_a_member_that_left_ends_at_once() {
    let (probe, mut sight) = scripted();
    probe.answer(&name(1), Answer::Hang);
    let upstream = upstream(Health::Healthy, [1]);
    let start = Instant::now();
    let _task = check(&upstream, &probe).spawn();
    sight.began().await;
    upstream.apply(Change::new().remove(id(1))).unwrap();
    assert_eq!(sight.next().await, Seen::Dropped(name(1)));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_comes_back_is_new() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Unhealthy, [1]);
    probe.answer(&name(1), Answer::Fail);
    let _task = check(&upstream, &probe).spawn();
    sight.began().await;
    upstream.apply(Change::new().remove(id(1))).unwrap();
    probe.answer(&name(1), Answer::Pass);
    tokio::time::advance(SECOND / 4).await;
    let mut events = upstream.events();
    let joined = Instant::now();
    upstream.apply(Change::new().add(spec(1))).unwrap();
    assert_eq!(verdict(&mut events).await.1, Health::Healthy);
    assert_eq!(joined.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_weight_neither_hastens_nor_delays_probes() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let start = Instant::now();
    let _task = check(&upstream, &probe).spawn();
    sight.began().await;
    tokio::time::advance(SECOND / 4).await;
    let weight = Weight::new(7).unwrap();
    upstream
        .apply(Change::new().set_weight(id(1), weight))
        .unwrap();
    assert_eq!(sight.began().await.1, start + SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_moved_to_another_address_is_probed_there_at_once() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let _task = check(&upstream, &probe).spawn();
    sight.began().await;
    tokio::time::advance(SECOND / 4).await;
    let moved = Instant::now();
    let elsewhere = EndpointSpec::new("127.0.0.1:9".parse().unwrap()).with_id(id(1));
    upstream.apply(Change::new().replace([elsewhere])).unwrap();
    assert_eq!(sight.began().await, (name(1), moved));
    assert_eq!(sight.began().await, (name(1), moved + SECOND));
}

#[tokio::test(start_paused = true)]
async fn members_that_get_no_traffic_are_probed_too() {
    let (probe, mut sight) = scripted();
    let (blue, green) = (Group::new("blue").unwrap(), Group::new("green").unwrap());
    let upstream = Upstream::with_initial_health("test", Health::Unhealthy);
    let members = Change::new()
        .add(spec(1).with_group(blue.clone()))
        .add(
            spec(2)
                .with_group(blue.clone())
                .with_weight(Weight::new(0).unwrap()),
        )
        .add(spec(3).with_group(green))
        .activate(blue)
        .drain(id(1), "test");
    upstream.apply(members).unwrap();
    let mut events = upstream.events();
    let _task = check(&upstream, &probe).spawn();
    for port in 1..=3 {
        assert_eq!(sight.began().await.0, name(port));
    }
    for _ in 1..=3 {
        assert_eq!(verdict(&mut events).await.1, Health::Healthy);
    }
}

#[tokio::test(start_paused = true)]
async fn missed_events_are_made_up_for() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let _task = check(&upstream, &probe).spawn();
    sight.began().await;
    // More than an observer that does not come to read can keep, all before the next await.
    for weight in 1..=2 * u16::try_from(Events::CAPACITY).unwrap() {
        let weight = Weight::new(weight.into()).unwrap();
        upstream
            .apply(Change::new().set_weight(id(1), weight))
            .unwrap();
        if weight.get() == 2 {
            upstream.apply(Change::new().add(spec(2))).unwrap();
        }
    }
    assert_eq!(sight.began().await.0, name(2));
}

#[tokio::test]
async fn writers_that_come_between_lose_no_verdict() {
    let (probe, _sight) = scripted();
    let upstream = upstream(Health::Unhealthy, 1..=20);
    let mut events = upstream.events();
    let churn = std::thread::spawn({
        let upstream = upstream.clone();
        move || {
            for _ in 0..200 {
                upstream.apply(Change::new().add(spec(99))).unwrap();
                upstream.apply(Change::new().remove(id(99))).unwrap();
            }
        }
    });
    let _task = check(&upstream, &probe).spawn();
    let mut healthy = 0;
    while healthy < 20 {
        match events.next().await {
            Ok(Some(event)) => {
                if let EventKind::Health { endpoint, .. } = event.kind {
                    healthy += u32::from(endpoint != id(99));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    churn.join().unwrap();
    assert_eq!(upstream.snapshot().available().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_task_ends_every_probe() {
    let (probe, mut sight) = scripted();
    probe.answer(&name(1), Answer::Hang);
    let task = check(&upstream(Health::Healthy, [1, 2]), &probe).spawn();
    sight.began().await;
    sight.began().await;
    drop(task);
    assert_eq!(sight.next().await, Seen::Dropped(name(1)));
    drop(probe);
    // The worker and its probes are gone, and the last sender with them.
    assert!(sight.is_over().await);
}
