//! Many members at a time.

use tightrope_upstream::{Change, Health};
use tokio::time::Instant;

use super::scripted::{Answer, SECOND, Seen, check, id, name, scripted, spec, upstream, verdict};

#[tokio::test(start_paused = true)]
async fn the_first_probes_of_those_that_join_together_are_spread() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, 1..=4);
    let start = Instant::now();
    let check = check(&upstream, &probe).with_interval(8 * SECOND).unwrap();
    let _task = check.with_start_spread(4 * SECOND).spawn();
    for round in [0, 8] {
        for (port, second) in [(1, 0), (2, 1), (3, 2), (4, 3)] {
            let began = (name(port), start + (round + second) * SECOND);
            assert_eq!(sight.began().await, began);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_joins_alone_is_probed_at_once_whatever_the_spread() {
    let (probe, mut sight) = scripted();
    let upstream = upstream(Health::Healthy, [1]);
    let check = check(&upstream, &probe).with_interval(8 * SECOND).unwrap();
    let _task = check.with_start_spread(4 * SECOND).spawn();
    sight.began().await;
    tokio::time::sleep(SECOND).await;
    let joined = Instant::now();
    upstream.apply(Change::new().add(spec(2))).unwrap();
    assert_eq!(sight.began().await, (name(2), joined));
}

#[tokio::test(start_paused = true)]
async fn no_more_probes_are_in_flight_than_there_may_be() {
    let (probe, mut sight) = scripted();
    for port in 1..=6 {
        probe.answer(&name(port), Answer::Hang);
    }
    let upstream = upstream(Health::Healthy, 1..=6);
    let start = Instant::now();
    let check = check(&upstream, &probe).with_interval(60 * SECOND).unwrap();
    let check = check.with_timeout(SECOND).unwrap();
    let _task = check.with_max_in_flight(2).unwrap().spawn();
    // Two at a time, in the order of the members, each for as long as its timeout.
    let mut under_way = 0;
    let mut began = Vec::new();
    while began.len() < 6 {
        match sight.next().await {
            Seen::Began(who, at) => {
                under_way += 1;
                began.push((who, (at - start).as_secs()));
            }
            Seen::Dropped(_) => under_way -= 1,
        }
        assert!(under_way <= 2);
    }
    let times = (1..=6).zip([0, 0, 1, 1, 2, 2]);
    let expected: Vec<_> = times.map(|(port, at)| (name(port), at)).collect();
    assert_eq!(began, expected);
}

#[tokio::test(start_paused = true)]
async fn the_place_of_a_member_that_leaves_is_given_to_the_next() {
    let (probe, mut sight) = scripted();
    probe.answer(&name(1), Answer::Hang);
    let upstream = upstream(Health::Healthy, 1..=3);
    let check = check(&upstream, &probe).with_max_in_flight(1).unwrap();
    let _task = check.spawn();
    let start = Instant::now();
    assert_eq!(sight.began().await.0, name(1));
    // One that leaves while it waits for a place is not probed at all.
    let leave = Change::new().remove(id(1)).remove(id(2));
    upstream.apply(leave).unwrap();
    assert_eq!(sight.began().await, (name(3), start));
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_probe_waits_for_its_place_is_no_part_of_its_timeout() {
    let (probe, mut sight) = scripted();
    probe.answer(&name(1), Answer::Hang);
    let upstream = upstream(Health::Unhealthy, [1, 2]);
    let mut events = upstream.events();
    let check = check(&upstream, &probe).with_timeout(5 * SECOND).unwrap();
    let _task = check.with_max_in_flight(1).unwrap().spawn();
    sight.began().await;
    let (who, health, _) = verdict(&mut events).await;
    assert_eq!((who, health), (name(2), Health::Healthy));
}
