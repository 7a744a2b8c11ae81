//! Shares follow weights.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use tightrope_balance::{
    Balance, Context, LeastRequest, Random, RoundRobin, Strategy as Choose, WeightedRandom, nginx,
};
use tightrope_upstream::Pick;

use crate::support::{assert_shares, number, tried, upstream};

/// How many of `picks` picks each endpoint gets where each ends at once.
fn shares(weights: &[u32], strategy: impl Choose, picks: u32, context: &Context<'_>) -> Vec<u32> {
    let mut balance = Balance::new(&upstream(weights), strategy, ()).with_seed(7);
    let mut got = vec![0; weights.len()];
    for _ in 0..picks {
        got[number(&balance.pick(context).unwrap())] += 1;
    }
    got
}

/// How many each endpoint has in flight after `picks` picks that do not end.
fn held(weights: &[u32], strategy: impl Choose, picks: u32) -> Vec<u32> {
    let mut balance = Balance::new(&upstream(weights), strategy, ()).with_seed(7);
    let context = Context::new();
    let held: Vec<Pick> = (0..picks)
        .map(|_| balance.pick(&context).unwrap())
        .collect();
    let mut got = vec![0; weights.len()];
    for pick in &held {
        got[number(pick)] += 1;
    }
    got
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_robin_is_exact_in_every_period(
        weights in prop::collection::vec(0_u32..20, 1..12)
            .prop_filter("some weight", |w| w.iter().any(|&w| w > 0)),
        offset in 0_u32..40,
    ) {
        let mut balance = Balance::new(&upstream(&weights), RoundRobin::new(), ());
        let context = Context::new();
        for _ in 0..offset {
            let _ended = balance.pick(&context).unwrap();
        }
        let mut got = vec![0; weights.len()];
        for _ in 0..weights.iter().sum() {
            got[number(&balance.pick(&context).unwrap())] += 1;
        }
        prop_assert_eq!(got, weights);
    }
}

#[test]
fn round_robin_without_a_table_is_exact_over_the_largest_weight_in_rounds() {
    // One period has 1,113,959 slots, more than a table may have.
    let weights: Vec<u32> = (0..17).map(|n| 65_535 - n).collect();
    let context = Context::new();
    let picks = weights.iter().sum();
    assert_eq!(
        shares(&weights, RoundRobin::new(), picks, &context),
        weights
    );
}

#[test]
fn random_shares_follow_weights() {
    for weights in [
        vec![1; 7],
        vec![5, 1, 1],
        vec![100, 1, 0, 30],
        vec![65_535, 1],
    ] {
        let got = shares(&weights, WeightedRandom::new(), 100_000, &Context::new());
        assert_shares("random", &got, &weights);
    }
}

#[test]
fn least_request_shares_follow_weights_without_load() {
    for weights in [vec![1; 7], vec![5, 1, 1], vec![100, 1, 0, 30], vec![3, 1]] {
        for (what, strategy) in [
            ("of two", LeastRequest::new()),
            ("of three", LeastRequest::with_choices(3)),
            ("of all", LeastRequest::full_scan()),
        ] {
            let got = shares(&weights, strategy, 50_000, &Context::new());
            assert_shares(what, &got, &weights);
        }
    }
}

#[test]
fn least_request_of_all_fills_by_weight() {
    for weights in [vec![1; 7], vec![5, 1, 1], vec![100, 1, 0, 30]] {
        let total: u32 = weights.iter().sum();
        let got = held(&weights, LeastRequest::full_scan(), total * 20);
        for (got, weight) in got.into_iter().zip(&weights) {
            assert!(got.abs_diff(weight * 20) <= 2, "{got} for {weight}");
        }
    }
}

#[test]
fn least_request_of_two_fills_by_weight_within_a_tenth() {
    for weights in [vec![1; 10], vec![4, 2, 1, 1]] {
        let total: u32 = weights.iter().sum();
        let got = held(&weights, LeastRequest::new(), total * 200);
        for (got, weight) in got.into_iter().zip(&weights) {
            assert!(
                got.abs_diff(weight * 200) <= weight * 20,
                "{got} for {weight}"
            );
        }
    }
}

#[test]
fn hashed_keys_spread_by_weight_within_a_tenth() {
    let weights = [5, 1, 2];
    let mut balance = Balance::new(&upstream(&weights), nginx::KeyHash::new(), ());
    let mut got = [0_u32; 3];
    for user in 0..40_000_u32 {
        let key = format!("user-{}", user.wrapping_mul(2_654_435_761));
        let context = Context::new().with_key(key.as_bytes());
        got[number(&balance.pick(&context).unwrap())] += 1;
    }
    for (got, weight) in got.into_iter().zip(weights) {
        assert!(
            got.abs_diff(weight * 5_000) <= weight * 500,
            "{got} for {weight}"
        );
    }
}

#[test]
fn hashed_clients_spread_by_weight_within_a_tenth() {
    let weights = [5, 1, 2];
    let mut balance = Balance::new(&upstream(&weights), nginx::IpHash::new(), ());
    let mut got = [0_u32; 3];
    for network in 0..40_000_u32 {
        let [_, a, b, c] = network.wrapping_mul(2_654_435_761).to_be_bytes();
        let context = Context::new().with_client([a, b, c, 1].into());
        got[number(&balance.pick(&context).unwrap())] += 1;
    }
    for (got, weight) in got.into_iter().zip(weights) {
        assert!(
            got.abs_diff(weight * 5_000) <= weight * 500,
            "{got} for {weight}"
        );
    }
}

#[test]
fn the_share_of_a_tried_endpoint_goes_to_the_others_by_weight() {
    let attempt = tried(&[1]);
    let context = Context::new().with_attempt(&attempt);
    // Both where the tried one is one of many and where it dwarfs the others.
    for weights in [[3, 4, 1, 2], [3, 60_000, 1, 2]] {
        let expected = [3, 0, 1, 2];
        for (what, make) in crate::support::STRATEGIES {
            // They go on in a hash space of which the tried one is a part, or in a coarse table; and
            // two draws that differ do not follow the weights, nor does an order or a scope.
            let differs = [
                "hash",
                "maglev",
                "random_two",
                "first_",
                "aperture",
                "subset",
            ];
            if !differs.iter().any(|part| what.contains(part)) {
                let got = shares(&weights, make(), 30_000, &context);
                assert_shares(what, &got, &expected);
            }
        }
    }
}

#[test]
fn round_robin_may_start_at_any_turn() {
    let upstream = upstream(&[1; 10]);
    let first = |seed| {
        let strategy = RoundRobin::from_rng(&mut Random::from_seed(seed));
        let mut balance = Balance::new(&upstream, strategy, ());
        let mut pick = || number(&balance.pick(&Context::new()).unwrap());
        let first = pick();
        for next in 1..25 {
            assert_eq!(pick(), (first + next) % 10);
        }
        first
    };
    let mut starts = [0; 10];
    for seed in 0..1_000 {
        starts[first(seed)] += 1;
    }
    assert!(
        starts.iter().all(|got| (60..140).contains(got)),
        "{starts:?}"
    );
}

#[test]
fn retries_do_not_shift_the_turns_of_first_attempts() {
    let mut balance = Balance::new(&upstream(&[1, 1]), RoundRobin::new(), ());
    let mut first = || {
        let number_of_first = number(&balance.pick(&Context::new()).unwrap());
        let attempt = tried(&[number_of_first]);
        let again = Context::new().with_attempt(&attempt);
        assert_ne!(number(&balance.pick(&again).unwrap()), number_of_first);
        number_of_first
    };
    let firsts: Vec<usize> = (0..6).map(|_| first()).collect();
    assert_eq!(firsts, [0, 1, 0, 1, 0, 1]);
}
