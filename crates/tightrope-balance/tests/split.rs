//! Strategies within priorities and zones.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::num::NonZeroU32;

use proptest::prelude::*;
use tightrope_balance::{
    Balance, Context, FailOpen, HashOn, LeastRequest, Maglev, PeakEwma, Priorities, RoundRobin,
    Strategy, WeightedRandom, Zones,
};
use tightrope_upstream::{Change, EndpointSpec, Health, Outcome, Pick, PickError, Upstream};

use crate::support::{assert_shares, id, number, spec, tried};

/// So many endpoints of each priority, known by their numbers in this order.
fn levels(counts: &[usize]) -> Upstream {
    let upstream = Upstream::new("levels");
    let priorities = (0_u8..).zip(counts);
    let priorities = priorities.flat_map(|(priority, &count)| vec![priority; count]);
    let specs = priorities.enumerate();
    let specs = specs.map(|(n, priority)| spec(n, 1).with_priority(priority));
    upstream.apply(Change::new().replace(specs)).unwrap();
    upstream
}

/// One endpoint for each zone that is named.
fn zoned(zones: &[&str]) -> Upstream {
    let upstream = Upstream::new("zoned");
    let specs = zones.iter().enumerate();
    let specs =
        specs.map(|(n, zone)| spec(n, 1).with_metadata([("zone", *zone)].into_iter().collect()));
    upstream.apply(Change::new().replace(specs)).unwrap();
    upstream
}

fn make_unhealthy(upstream: &Upstream, numbers: impl IntoIterator<Item = usize>) {
    let change = numbers.into_iter().fold(Change::new(), |change, n| {
        change.set_health(id(n), Health::Unhealthy, "probe")
    });
    upstream.apply(change).unwrap();
}

/// How many of 10,000 picks go to endpoints below `count`, and how many to each part of that length
/// after them.
fn shares(upstream: &Upstream, strategy: impl Strategy, count: usize) -> Vec<u32> {
    let members = upstream.snapshot().members().len();
    let mut balance = Balance::new(upstream, strategy, ()).with_seed(7);
    let mut got = vec![0; members.div_ceil(count)];
    for _ in 0..10_000 {
        got[number(&balance.pick(&Context::new()).unwrap()) / count] += 1;
    }
    got
}

#[test]
fn the_next_priority_gets_what_the_first_cannot_take() {
    for (left, weights) in [
        (100, [100, 0]),
        (72, [100, 0]),
        (71, [99, 1]),
        (50, [70, 30]),
        (25, [35, 65]),
    ] {
        let upstream = levels(&[100, 100]);
        make_unhealthy(&upstream, left..100);
        let got = shares(&upstream, Priorities::new(WeightedRandom::new), 100);
        assert_shares(&format!("{left} % left"), &got, &weights);
    }
}

#[test]
fn backups_get_nothing_while_one_of_the_first_is_left() {
    let upstream = levels(&[10, 2]);
    let strategy = || Priorities::new(RoundRobin::new).without_spill();
    make_unhealthy(&upstream, 1..10);
    assert_eq!(shares(&upstream, strategy(), 10), [10_000, 0]);
    make_unhealthy(&upstream, [0]);
    assert_eq!(shares(&upstream, strategy(), 10), [0, 10_000]);
    make_unhealthy(&upstream, [10, 11]);
    let mut balance = Balance::new(&upstream, strategy(), ());
    assert_eq!(
        balance.pick(&Context::new()).unwrap_err(),
        PickError::Unavailable { members: 12 }
    );
    upstream
        .apply(Change::new().set_health(id(3), Health::Healthy, "probe"))
        .unwrap();
    assert_eq!(number(&balance.pick(&Context::new()).unwrap()), 3);
}

#[test]
fn a_drained_priority_leaves_its_traffic_to_the_next_and_is_no_reason_to_panic() {
    let upstream = levels(&[2, 2]);
    let drain = [0, 1]
        .iter()
        .fold(Change::new(), |change, &n| change.drain(id(n), "x"));
    upstream.apply(drain).unwrap();
    let strategy = Priorities::new(WeightedRandom::new).with_panic_threshold(100);
    assert_eq!(shares(&upstream, strategy, 2), [0, 10_000]);
}

#[test]
fn who_was_tried_or_is_full_sends_the_request_to_the_next_priority() {
    let upstream = Upstream::new("full");
    let most = NonZeroU32::new(1).unwrap();
    let specs = [
        spec(0, 1).with_max_in_flight(most),
        spec(1, 1).with_priority(1),
    ];
    upstream.apply(Change::new().replace(specs)).unwrap();
    let strategy = Priorities::new(LeastRequest::new).without_spill();
    let mut balance = Balance::new(&upstream, strategy, ());
    let attempt = tried(&[0]);
    let retry = balance
        .pick(&Context::new().with_attempt(&attempt))
        .unwrap();
    assert_eq!(number(&retry), 1);
    let picks: Vec<Pick> = (0..3)
        .map(|_| balance.pick(&Context::new()).unwrap())
        .collect();
    assert_eq!(picks.iter().map(number).collect::<Vec<_>>(), [0, 1, 1]);
}

#[test]
fn in_panic_the_traffic_goes_to_the_sick_of_a_priority_too() {
    let upstream = levels(&[10, 10]);
    make_unhealthy(&upstream, (1..10).chain(15..20));
    let strategy = || Priorities::new(RoundRobin::new).with_panic_threshold(50);
    // 14 and 70 of health: the first has 17 % of the traffic and panics, the second does not.
    let got = shares(&upstream, strategy(), 1);
    assert_shares(
        "the first",
        &[got[..10].iter().sum(), got[10..].iter().sum()],
        &[17, 83],
    );
    assert!(got[..10].iter().all(|&got| got > 100));
    assert!(got[15..].iter().all(|&got| got == 0));
    // Without a threshold the only one that is left takes it alone.
    let got = shares(&upstream, Priorities::new(RoundRobin::new), 1);
    assert!(got[1..10].iter().all(|&got| got == 0));
}

#[test]
fn below_the_threshold_everybody_gets_its_share_and_at_it_only_the_healthy() {
    let upstream = levels(&[10]);
    make_unhealthy(&upstream, 5..10);
    let strategy = || FailOpen::new(WeightedRandom::new()).with_panic_threshold(50);
    let got = shares(&upstream, strategy(), 1);
    assert!(got[5..].iter().all(|&got| got == 0));
    make_unhealthy(&upstream, [4]);
    assert_shares("panic", &shares(&upstream, strategy(), 1), &[1; 10]);
    // Who is drained counts for neither side.
    let drain = (5..10).fold(Change::new(), |change, n| change.drain(id(n), "x"));
    upstream.apply(drain).unwrap();
    let got = shares(&upstream, strategy(), 1);
    assert_shares("4 of 5", &got, &[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_key_stays_with_its_priority_and_its_endpoint() {
    let upstream = levels(&[10, 10]);
    make_unhealthy(&upstream, 5..10);
    let strategy = Priorities::new(Maglev::new).with_affinity(HashOn::key());
    let mut balance = Balance::new(&upstream, strategy, ()).with_seed(1);
    let mut got = [0, 0];
    let mut used = [0_u32; 20];
    for key in 0..4_000_u32 {
        let key = key.to_le_bytes();
        let context = Context::new().with_key(&key);
        let first = number(&balance.pick(&context).unwrap());
        for _ in 0..3 {
            assert_eq!(number(&balance.pick(&context).unwrap()), first);
        }
        got[first / 10] += 1;
        used[first] += 1;
    }
    assert_shares("keys", &got, &[70, 30]);
    // The draw of the priority does not narrow what is chosen within it.
    assert!(used[10..].iter().all(|&keys| keys > 60), "{used:?}");
}

#[test]
fn strategies_that_learn_do_so_in_every_priority() {
    let upstream = levels(&[2, 2]);
    make_unhealthy(&upstream, [0]);
    let mut balance = Balance::new(&upstream, Priorities::new(PeakEwma::new), ()).with_seed(1);
    for _ in 0..100 {
        let mut pick = balance.pick(&Context::new()).unwrap();
        pick.answered(Outcome::Success);
    }
    let (now, snapshot) = (tokio::time::Instant::now(), upstream.snapshot());
    for member in &snapshot.members()[1..] {
        let record = member.record();
        let decay = tightrope_upstream::Decay::over(std::time::Duration::from_secs(10));
        assert!(record.latency_ns(record.tick(now), decay).is_some());
    }
    assert_eq!(balance.explain(&()).candidates().len(), 4);
}

#[test]
fn a_priority_may_come_and_go() {
    let upstream = levels(&[1, 1, 1]);
    let mut balance = Balance::new(&upstream, Priorities::new(RoundRobin::new), ());
    upstream.apply(Change::new().remove(id(0))).unwrap();
    assert_eq!(number(&balance.pick(&Context::new()).unwrap()), 1);
    upstream.apply(Change::new().remove(id(1))).unwrap();
    assert_eq!(number(&balance.pick(&Context::new()).unwrap()), 2);
    upstream.apply(Change::new().add(spec(0, 1))).unwrap();
    assert_eq!(number(&balance.pick(&Context::new()).unwrap()), 0);
    upstream.apply(Change::new().replace([])).unwrap();
    assert_eq!(balance.pick(&Context::new()).unwrap_err(), PickError::Empty);
}

const EVEN: [&str; 9] = ["a", "a", "a", "b", "b", "b", "c", "c", "c"];

#[test]
fn a_zone_that_can_take_its_traffic_keeps_it() {
    let upstream = zoned(&EVEN);
    let got = shares(&upstream, Zones::new("a", WeightedRandom::new), 3);
    assert_eq!(got, [10_000, 0, 0]);
    let got = shares(&upstream, Zones::new("c", RoundRobin::new), 3);
    assert_eq!(got, [0, 0, 10_000]);
}

#[test]
fn a_zone_that_cannot_leaves_the_rest_to_those_with_room() {
    let upstream = zoned(&EVEN);
    make_unhealthy(&upstream, [0, 3]);
    // 1/3 of the callers, 2/7 of the endpoints: 6/7 stay, and only `c` has more than its share.
    let got = shares(&upstream, Zones::new("a", WeightedRandom::new), 3);
    assert_shares("one of three is out", &got, &[6, 0, 1]);
    // If half of all callers are here, 4/7 can stay.
    let strategy = Zones::new("a", WeightedRandom::new).with_callers_percent(50);
    let got = shares(&upstream, strategy, 3);
    assert_shares("half of the callers", &got, &[5714, 714, 3571]);
}

#[test]
fn a_zone_of_which_nobody_is_left_and_one_that_never_was_go_elsewhere() {
    let upstream = zoned(&EVEN);
    make_unhealthy(&upstream, [0, 1, 2]);
    let got = shares(&upstream, Zones::new("a", WeightedRandom::new), 3);
    assert_shares("nobody is left", &got, &[0, 1, 1]);
    let got = shares(&upstream, Zones::new("moon", WeightedRandom::new), 3);
    assert_shares("never was", &got, &[0, 1, 1]);
}

#[test]
fn few_endpoints_and_a_panic_know_no_zones() {
    let few = zoned(&["a", "b", "b", "c", "c"]);
    let got = shares(&few, Zones::new("a", WeightedRandom::new), 1);
    assert_shares("few", &got, &[1; 5]);
    let strategy = Zones::new("a", WeightedRandom::new).with_min_endpoints(5);
    // A third of the callers, a fifth of the endpoints: 3/5 stay.
    assert_shares("enough", &shares(&few, strategy, 1), &[6, 1, 1, 1, 1]);
}

#[test]
fn in_panic_no_zone_is_preferred() {
    let upstream = zoned(&EVEN);
    make_unhealthy(&upstream, 0..5);
    let strategy = FailOpen::new(Zones::new("a", WeightedRandom::new)).with_panic_threshold(50);
    assert_shares("panic", &shares(&upstream, strategy, 1), &[1; 9]);
}

#[test]
fn who_was_tried_in_the_zone_sends_the_request_to_another() {
    let upstream = zoned(&EVEN);
    let mut balance = Balance::new(&upstream, Zones::new("a", LeastRequest::new), ());
    let attempt = tried(&[0, 1, 2]);
    let retry = balance
        .pick(&Context::new().with_attempt(&attempt))
        .unwrap();
    assert!(number(&retry) >= 3);
}

proptest! {
    #[test]
    fn somebody_available_is_found_whatever_the_priorities_zones_and_healths(
        members in prop::collection::vec((0_u8..4, 0_u8..3, any::<bool>(), 0_u32..3), 1..12),
        panic in 0_u32..=100,
        over in 100_u32..200,
        key in any::<[u8; 4]>(),
    ) {
        let upstream = Upstream::new("any");
        let specs: Vec<EndpointSpec> = members.iter().enumerate().map(|(n, &(priority, zone, _, weight))| {
            let labels = [("zone", ["a", "b", "c"][usize::from(zone)])];
            spec(n, weight).with_priority(priority).with_metadata(labels.into_iter().collect())
        }).collect();
        upstream.apply(Change::new().replace(specs)).unwrap();
        make_unhealthy(&upstream, members.iter().enumerate().filter(|(_, member)| !member.2).map(|(n, _)| n));
        let snapshot = upstream.snapshot();
        let strategies: [Box<dyn Strategy>; 3] = [
            Box::new(Priorities::new(RoundRobin::new).with_over_provisioning(over)),
            Box::new(Priorities::new(Maglev::new).with_panic_threshold(panic).with_affinity(HashOn::key())),
            Box::new(Zones::new("a", LeastRequest::new).with_min_endpoints(2)),
        ];
        for (which, strategy) in strategies.into_iter().enumerate() {
            let mut balance = Balance::new(&upstream, strategy, ()).with_seed(u64::from(over));
            for _ in 0..20 {
                let context = Context::new().with_key(&key);
                match balance.pick(&context) {
                    Ok(pick) if which == 1 => {
                        let (_, availability) = snapshot.get(pick.endpoint().id()).unwrap();
                        prop_assert!(availability.is_in_service());
                    }
                    Ok(pick) => {
                        let (_, availability) = snapshot.get(pick.endpoint().id()).unwrap();
                        prop_assert!(availability.is_available());
                    }
                    Err(_) => prop_assert!(snapshot.available().is_empty()),
                }
            }
        }
    }
}
