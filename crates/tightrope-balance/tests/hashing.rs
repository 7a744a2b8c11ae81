//! What holds for the strategies that keep a key on an endpoint.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::IpAddr;

use proptest::{collection::vec, prelude::*, sample::Index};
use tightrope_balance::{
    Balance, Bounded, Context, FailOpen, HashOn, Jump, Maglev, Rendezvous, RingHash,
    Strategy as Choose,
};
use tightrope_upstream::{Change, EndpointSpec, Health, Pick, Upstream, Weight};

use crate::support::{Make, assert_shares, id, number, spec, tried, upstream};

/// Every hashing strategy, with tables that are quick to build.
const HASHING: [(&str, Make); 4] = [
    ("maglev", || Box::new(Maglev::new().with_table_size(5_000))),
    ("ring_hash", || {
        Box::new(RingHash::new().with_points_per_weight(40))
    }),
    ("rendezvous", || Box::new(Rendezvous::new())),
    ("jump", || Box::new(Jump::new())),
];

const KEYS: u32 = 2_000;

fn pick(balance: &mut Balance<()>, key: u32) -> Pick {
    let key = key.to_be_bytes();
    balance.pick(&Context::new().with_key(&key)).unwrap()
}

fn place(balance: &mut Balance<()>, context: &Context<'_>) -> usize {
    number(&balance.pick(context).unwrap())
}

/// Where each of `KEYS` keys goes.
fn places(balance: &mut Balance<()>) -> Vec<usize> {
    (0..KEYS).map(|key| number(&pick(balance, key))).collect()
}

fn count(places: &[usize], endpoints: usize) -> Vec<u32> {
    let mut count = vec![0; endpoints];
    for &place in places {
        count[place] += 1;
    }
    count
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    vec(prop_oneof![Just(0), Just(1), 1_u32..6], 2..9).prop_filter("two with a weight", |w| {
        w.iter().filter(|&&w| w > 0).count() > 1
    })
}

/// One that has a weight.
fn one_of(weights: &[u32], which: Index) -> usize {
    let weighted = weights.iter().enumerate().filter(|&(_, &w)| w > 0);
    let weighted: Vec<usize> = weighted.map(|(n, _)| n).collect();
    *which.get(&weighted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_member_that_leaves_moves_its_own_keys_alone(weights in weights(), which in any::<Index>()) {
        for (what, make) in [HASHING[1], HASHING[2]] {
            let upstream = upstream(&weights);
            let mut balance = Balance::new(&upstream, make(), ());
            let before = places(&mut balance);
            let leaving = one_of(&weights, which);
            upstream.apply(Change::new().remove(id(leaving))).unwrap();
            for (before, after) in before.into_iter().zip(places(&mut balance)) {
                prop_assert_ne!(after, leaving, "{}", what);
                prop_assert!(before == leaving || before == after, "{}", what);
            }
        }
    }

    #[test]
    fn after_any_changes_keys_go_where_a_new_balancer_sends_them(
        changes in vec((0..24_usize, 0..4_u32), 1..12),
    ) {
        for (what, make) in HASHING {
            let upstream = upstream(&[1; 20]);
            let mut balance = Balance::new(&upstream, make(), ());
            for &(n, weight) in &changes {
                let is_member = upstream.snapshot().get(&id(n)).is_some();
                let change = match (is_member, weight) {
                    (true, 0) => Change::new().remove(id(n)),
                    (true, _) => Change::new().set_weight(id(n), Weight::new(weight).unwrap()),
                    (false, _) => Change::new().add(spec(n, weight)),
                };
                upstream.apply(change).unwrap();
            }
            let mut new = Balance::new(&upstream, make(), ());
            prop_assert_eq!(places(&mut balance), places(&mut new), "{}", what);
        }
    }

    #[test]
    fn the_last_member_of_jump_moves_its_own_keys_alone(weights in weights()) {
        let upstream = upstream(&weights);
        let mut balance = Balance::new(&upstream, Jump::new(), ());
        let before = places(&mut balance);
        let last = weights.len() - 1;
        upstream.apply(Change::new().remove(id(last))).unwrap();
        for (before, after) in before.into_iter().zip(places(&mut balance)) {
            prop_assert!(before == last || before == after);
        }
    }

    #[test]
    fn who_becomes_unavailable_moves_its_own_keys_alone_and_gets_them_back(
        weights in weights(),
        which in any::<Index>(),
    ) {
        for (what, make) in HASHING {
            let upstream = upstream(&weights);
            let mut balance = Balance::new(&upstream, make(), ());
            let before = places(&mut balance);
            let sick = one_of(&weights, which);
            upstream
                .apply(Change::new().set_health(id(sick), Health::Unhealthy, "test"))
                .unwrap();
            let meanwhile = places(&mut balance);
            for (&before, &meanwhile) in before.iter().zip(&meanwhile) {
                prop_assert_ne!(meanwhile, sick, "{}", what);
                prop_assert!(before == sick || before == meanwhile, "{}", what);
            }
            upstream
                .apply(Change::new().set_health(id(sick), Health::Healthy, "test"))
                .unwrap();
            prop_assert_eq!(places(&mut balance), before, "{}", what);
        }
    }

    #[test]
    fn a_retry_goes_where_the_key_goes_while_the_first_is_unavailable(weights in weights()) {
        for (what, make) in HASHING {
            let upstream = upstream(&weights);
            let mut balance = Balance::new(&upstream, make(), ());
            let first = number(&pick(&mut balance, 7));
            let attempt = tried(&[first]);
            let key = 7_u32.to_be_bytes();
            let again = Context::new().with_key(&key).with_attempt(&attempt);
            let second = place(&mut balance, &again);
            upstream.apply(Change::new().eject(id(first), "test")).unwrap();
            prop_assert_eq!(number(&pick(&mut balance, 7)), second, "{}", what);
        }
    }

    #[test]
    fn bounded_load_is_never_exceeded(
        weights in weights(),
        percent in 100_u32..250,
        steps in vec((0_u32..5, any::<bool>(), any::<Index>()), 1..150),
    ) {
        let strategies: [Box<dyn Choose>; 4] = [
            Box::new(Bounded::new(Maglev::new().with_table_size(500)).with_factor_percent(percent)),
            Box::new(Bounded::new(RingHash::new()).with_factor_percent(percent)),
            Box::new(Bounded::new(Rendezvous::new()).with_factor_percent(percent)),
            Box::new(Bounded::new(Jump::new()).with_factor_percent(percent)),
        ];
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        for strategy in strategies {
            let upstream = upstream(&weights);
            let mut balance = Balance::new(&upstream, strategy, ());
            let mut held: Vec<Pick> = Vec::new();
            for (key, ends, which) in &steps {
                if *ends && !held.is_empty() {
                    drop(held.swap_remove(which.index(held.len())));
                }
                let all = held.len() as u64 + 1;
                let pick = pick(&mut balance, *key);
                let weight = u64::from(weights[number(&pick)]);
                let most = (u64::from(percent) * all * weight).div_ceil(100 * total);
                let in_flight = pick.endpoint().record().in_flight() as u64;
                prop_assert!(in_flight <= most, "{in_flight} of {all} for {weight} of {total}");
                held.push(pick);
            }
        }
    }
}

#[test]
fn shares_follow_weights() {
    for weights in [vec![1; 10], vec![5, 1, 2, 0, 3]] {
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let strategies: [(f64, Box<dyn Choose>); 4] = [
            (0.01, Box::new(Maglev::new())),
            // A few standard deviations of its points.
            (0.3, Box::new(RingHash::new())),
            (0.0, Box::new(Rendezvous::new())),
            (0.0, Box::new(Jump::new())),
        ];
        for (deviation, strategy) in strategies {
            let mut balance = Balance::new(&upstream(&weights), strategy, ());
            let mut got = vec![0_u32; weights.len()];
            for key in 0..40_000 {
                got[number(&pick(&mut balance, key))] += 1;
            }
            for (&got, &weight) in got.iter().zip(&weights) {
                let expected = 40_000.0 * f64::from(weight) / total;
                let bound = deviation * expected + 5.0 * expected.sqrt();
                let off = (f64::from(got) - expected).abs();
                assert!(off <= bound, "{got} for {weight} of {total}");
            }
        }
    }
}

#[test]
fn requests_with_nothing_to_hash_spread_by_weight() {
    let weights = [5, 1, 2];
    let strategies: [Box<dyn Choose>; 3] = [
        Box::new(Maglev::new()),
        Box::new(Rendezvous::new()),
        Box::new(Jump::new()),
    ];
    for strategy in strategies {
        let mut balance = Balance::new(&upstream(&weights), strategy, ()).with_seed(1);
        for context in [Context::new(), Context::new().with_key(b"")] {
            let places: Vec<usize> = (0..8_000).map(|_| place(&mut balance, &context)).collect();
            assert_shares("no key", &count(&places, 3), &weights);
        }
    }
}

/// Moves of the keys of others when one of `n` equal members leaves, in parts of all keys.
fn disturbed(n: usize, strategy: impl Choose) -> f64 {
    let upstream = upstream(&vec![1; n]);
    let mut balance = Balance::new(&upstream, strategy, ());
    let before: Vec<usize> = (0..20_000)
        .map(|k| number(&pick(&mut balance, k)))
        .collect();
    upstream.apply(Change::new().remove(id(n / 2))).unwrap();
    let moved = (0..20_000_u32)
        .zip(before)
        .filter(|&(key, before)| before != n / 2 && number(&pick(&mut balance, key)) != before)
        .count();
    f64::from(u32::try_from(moved).unwrap()) / 20_000.0
}

#[test]
fn maglev_disturbs_few_of_the_others() {
    // The paper (§5.3) measures up to 3 % for 1,000 backends and 65,537 slots, and fewer with more.
    assert!(disturbed(10, Maglev::new()) < 0.06);
    assert!(disturbed(100, Maglev::new()) < 0.04);
}

#[test]
fn a_larger_table_of_maglev_disturbs_fewer() {
    let disturbed = |slots| disturbed(100, Maglev::new().with_table_size(slots));
    assert!(disturbed(65_537) < disturbed(1_009));
}

#[test]
fn the_order_of_configuration_does_not_matter_but_to_jump() {
    for (what, make) in &HASHING[..3] {
        let mut specs: Vec<EndpointSpec> = (0..9).map(|n| spec(n, 1 + n as u32 % 3)).collect();
        let one = Upstream::new("one");
        one.apply(Change::new().replace(specs.clone())).unwrap();
        specs.reverse();
        let other = Upstream::new("other");
        other.apply(Change::new().replace(specs)).unwrap();
        let mut one = Balance::new(&one, make(), ());
        let mut other = Balance::new(&other, make(), ());
        assert_eq!(places(&mut one), places(&mut other), "{what}");
    }
}

#[test]
fn an_endpoint_that_changes_its_address_but_not_its_id_keeps_its_keys() {
    for (what, make) in HASHING {
        let upstream = upstream(&[1; 5]);
        let mut balance = Balance::new(&upstream, make(), ());
        let before = places(&mut balance);
        let moved = EndpointSpec::new("192.0.2.1:99".parse().unwrap()).with_id(id(2));
        let specs = (0..5).map(|n| if n == 2 { moved.clone() } else { spec(n, 1) });
        upstream.apply(Change::new().replace(specs)).unwrap();
        assert_eq!(places(&mut balance), before, "{what}");
    }
}

#[test]
fn endpoints_that_share_an_address_both_get_keys() {
    for (what, make) in HASHING {
        let upstream = Upstream::new("test");
        let address = "192.0.2.1:80"
            .parse::<tightrope_upstream::Address>()
            .unwrap();
        let specs = (0..2).map(|n| EndpointSpec::new(address.clone()).with_id(id(n)));
        upstream.apply(Change::new().replace(specs)).unwrap();
        let count = count(&places(&mut Balance::new(&upstream, make(), ())), 2);
        assert!(
            count.iter().all(|&keys| keys > KEYS / 3),
            "{what}: {count:?}"
        );
    }
}

#[test]
fn ten_thousand_endpoints_get_their_keys() {
    let upstream = upstream(&vec![1; 10_000]);
    for (what, make) in HASHING {
        let mut balance = Balance::new(&upstream, make(), ());
        let mut seen = places(&mut balance);
        assert_eq!(seen, places(&mut balance), "{what}");
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 1_000, "{what}: {}", seen.len());
    }
}

#[test]
fn one_available_of_many_gets_all_keys() {
    let upstream = upstream(&[1; 200]);
    let sick = (0..200).filter(|&n| n != 77);
    let change = sick.fold(Change::new(), |change, n| {
        change.set_health(id(n), Health::Unhealthy, "test")
    });
    upstream.apply(change).unwrap();
    for (what, make) in HASHING {
        let places = places(&mut Balance::new(&upstream, make(), ()));
        assert!(places.iter().all(|&place| place == 77), "{what}");
    }
}

#[test]
fn with_most_unavailable_the_rest_share_by_weight_and_few_keys_move() {
    let weights: Vec<u32> = (0..200).map(|n| if n == 77 { 3 } else { 1 }).collect();
    let upstream = upstream(&weights);
    let sick = (0..200).filter(|n| ![5, 77, 120].contains(n));
    let change = sick.fold(Change::new(), |change, n| change.eject(id(n), "test"));
    upstream.apply(change).unwrap();
    for (what, make) in &HASHING[2..] {
        let mut balance = Balance::new(&upstream, make(), ());
        let before = places(&mut balance);
        let count = count(&before, 200);
        let got = [count[5], count[77], count[120]];
        assert_shares(what, &got, &[1, 3, 1]);
        upstream.apply(Change::new().eject(id(5), "test")).unwrap();
        for (before, after) in before.into_iter().zip(places(&mut balance)) {
            assert!(before == 5 || before == after, "{what}");
        }
        upstream
            .apply(Change::new().restore(id(5), "test"))
            .unwrap();
    }
}

#[test]
fn idle_endpoints_get_what_they_would_without_a_bound() {
    let upstream = upstream(&[1, 2, 3]);
    let mut plain = Balance::new(&upstream, Maglev::new(), ());
    let mut bounded = Balance::new(&upstream, Bounded::new(Maglev::new()), ());
    assert_eq!(places(&mut plain), places(&mut bounded));
}

#[test]
fn a_hot_key_spills_over_in_the_same_order_again() {
    let upstream = upstream(&[1; 6]);
    let mut balance = Balance::new(&upstream, Bounded::new(Maglev::new()), ());
    let mut spill = || {
        let held: Vec<Pick> = (0..12).map(|_| pick(&mut balance, 1)).collect();
        held.iter().map(number).collect::<Vec<_>>()
    };
    let first = spill();
    assert_eq!(spill(), first);
    // 12 in flight on 6 with a factor of 1.25: nobody has more than 3.
    assert!(count(&first, 6).iter().all(|&held| held <= 3), "{first:?}");
}

#[test]
fn a_retry_goes_over_the_bound_rather_than_nowhere() {
    let upstream = upstream(&[1, 1]);
    let strategy = Bounded::new(Maglev::new()).with_factor_percent(0);
    let mut balance = Balance::new(&upstream, strategy, ());
    let (first, second) = (pick(&mut balance, 1), pick(&mut balance, 1));
    assert_ne!(number(&first), number(&second));
    let _third = pick(&mut balance, 1);
    let attempt = tried(&[number(&first)]);
    let context = Context::new().with_key(b"key").with_attempt(&attempt);
    for _ in 0..3 {
        assert_eq!(place(&mut balance, &context), number(&second));
    }
}

#[test]
fn the_sick_keep_their_keys_when_all_are_sick_and_that_is_asked_for() {
    let upstream = upstream(&[1; 4]);
    let mut balance = Balance::new(&upstream, FailOpen::new(Maglev::new()), ());
    let before = places(&mut balance);
    let change = (0..4).fold(Change::new(), |change, n| change.eject(id(n), "test"));
    upstream.apply(change).unwrap();
    assert_eq!(places(&mut balance), before);
}

#[test]
fn what_is_hashed_is_what_was_asked_for() {
    let upstream = upstream(&[1; 200]);
    let client: IpAddr = "192.0.2.7".parse().unwrap();
    let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
    let none = Context::new();
    let key = none.with_key(b"user-42");
    let from = none.with_client(client);
    let both = key.with_client(client);
    let place = |hash_on, context: &Context<'_>, seed| {
        let strategy = Maglev::new().with_hash_on(hash_on);
        let mut balance = Balance::new(&upstream, strategy, ()).with_seed(seed);
        place(&mut balance, context)
    };
    let (by_key, by_client) = (
        place(HashOn::key(), &key, 1),
        place(HashOn::client(), &from, 1),
    );
    assert_ne!(by_key, by_client);
    // Chance has a part only where there is nothing to hash.
    assert_ne!(
        place(HashOn::key(), &from, 1),
        place(HashOn::key(), &from, 2)
    );
    assert_ne!(
        place(HashOn::client(), &key, 1),
        place(HashOn::client(), &key, 2)
    );

    assert_eq!(place(HashOn::key(), &both, 1), by_key);
    assert_eq!(place(HashOn::client(), &both, 1), by_client);
    assert_eq!(
        place(HashOn::client(), &none.with_client(mapped), 1),
        by_client
    );
    assert_eq!(place(HashOn::default(), &both, 1), by_key);
    assert_eq!(place(HashOn::default(), &from, 1), by_client);
    let together = place(HashOn::key_and_client(), &both, 1);
    assert!(together != by_key && together != by_client);
    assert_eq!(place(HashOn::key_and_client(), &key, 1), by_key);
    assert_eq!(place(HashOn::key_and_client(), &from, 1), by_client);
}

#[test]
fn a_secret_changes_where_keys_go_and_is_not_shown() {
    let upstream = upstream(&[1; 10]);
    let secret = HashOn::key().with_secret(*b"sixteen letters!");
    let mut public = Balance::new(&upstream, Rendezvous::new(), ());
    let mut keyed = Balance::new(&upstream, Rendezvous::new().with_hash_on(secret), ());
    let same = places(&mut public)
        .into_iter()
        .zip(places(&mut keyed))
        .filter(|(public, keyed)| public == keyed)
        .count();
    assert!(same < 400, "{same} of 2000 keys went to the same of ten");
    let shown = format!("{secret:?} {:?}", Maglev::new().with_hash_on(secret));
    assert!(
        !shown.contains("115") && !shown.contains("sixteen"),
        "{shown}"
    );
}

/// Other versions and other processes must send these keys to the same endpoints.
#[test]
fn keys_go_where_they_always_went() {
    let upstream = upstream(&[1, 1, 2, 3, 1, 1, 1, 1]);
    let strategies: [Box<dyn Choose>; 4] = [
        Box::new(Maglev::new()),
        Box::new(RingHash::new()),
        Box::new(Rendezvous::new()),
        Box::new(Jump::new()),
    ];
    let places = strategies.map(|strategy| {
        let mut balance = Balance::new(&upstream, strategy, ());
        let places = ('a'..='z').map(|letter| {
            let key = letter.to_string();
            let context = Context::new().with_key(key.as_bytes());
            place(&mut balance, &context).to_string()
        });
        places.collect::<String>()
    });
    let expected = [
        "00310325432102043256133212",
        "54532426333013215423320265",
        "23337502172104360535077453",
        "55323323633671134221533332",
    ];
    assert_eq!(places, expected);
}
