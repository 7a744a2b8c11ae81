//! Least request takes the less busy one.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use tightrope_balance::{Balance, Context, LeastRequest, envoy};
use tightrope_upstream::{Pick, Upstream};

use crate::support::{number, upstream};

/// As many places in flight on the endpoint as asked for.
fn busy(upstream: &Upstream, endpoint: usize, places: usize) -> Vec<Pick> {
    let snapshot = upstream.snapshot();
    let endpoint = &snapshot.members()[endpoint];
    (0..places).map(|_| endpoint.pick().unwrap()).collect()
}

#[test]
fn p2c_prefers_the_lighter_of_two() {
    let upstream = upstream(&[1, 1]);
    let _busy = busy(&upstream, 0, 1);
    let mut balance = Balance::new(&upstream, LeastRequest::new(), ()).with_seed(1);
    for _ in 0..1_000 {
        assert_eq!(number(&balance.pick(&Context::new()).unwrap()), 1);
    }
}

#[test]
fn p2c_draws_two_distinct_endpoints() {
    // Of two distinct ones at least one is idle, so the busy one never wins; even where nearly
    // every draw hits it.
    for weights in [[1, 1, 1], [65_535, 1, 1]] {
        let upstream = upstream(&weights);
        let _busy = busy(&upstream, 0, 1);
        let mut balance = Balance::new(&upstream, LeastRequest::new(), ()).with_seed(1);
        let mut got = [0; 3];
        for _ in 0..10_000 {
            got[number(&balance.pick(&Context::new()).unwrap())] += 1;
        }
        assert_eq!(got[0], 0, "{weights:?}");
        assert!(got[1] > 4_000 && got[2] > 4_000, "{got:?} for {weights:?}");
    }
}

#[test]
fn every_choice_is_distinct() {
    // Three distinct draws of four find the idle one unless it is the one left out.
    let upstream = upstream(&[1, 1, 1, 1]);
    let _busy = [
        busy(&upstream, 0, 5),
        busy(&upstream, 1, 5),
        busy(&upstream, 2, 5),
    ];
    let mut balance = Balance::new(&upstream, LeastRequest::with_choices(3), ()).with_seed(1);
    let idle = (0..10_000)
        .filter(|_| number(&balance.pick(&Context::new()).unwrap()) == 3)
        .count();
    assert!(idle.abs_diff(7_500) < 250, "{idle}");
}

#[test]
fn the_cost_is_that_of_the_request_to_come_for_the_weight() {
    // 4 in flight on weight 4 costs 5/4; 1 on weight 1 costs 2; 1 on weight 2 costs 1.
    let upstream = upstream(&[4, 1, 2]);
    let _busy = [
        busy(&upstream, 0, 4),
        busy(&upstream, 1, 1),
        busy(&upstream, 2, 1),
    ];
    let mut balance = Balance::new(&upstream, LeastRequest::full_scan(), ());
    let picked: Vec<Pick> = (0..2)
        .map(|_| balance.pick(&Context::new()).unwrap())
        .collect();
    let numbers: Vec<usize> = picked.iter().map(number).collect();
    assert_eq!(numbers, [2, 0]); // then weight 2 costs 3/2, weight 4 still 5/4
}

#[test]
fn a_full_scan_of_many_finds_the_idle_by_weight_and_the_least_busy() {
    let weights: Vec<u32> = (0..64).map(|n| [9, 1, 9, 3][n % 4]).collect();
    let upstream = upstream(&weights);
    let mut held: Vec<_> = (0..64).step_by(2).map(|n| busy(&upstream, n, 1)).collect();
    let mut balance = Balance::new(&upstream, LeastRequest::full_scan(), ()).with_seed(1);
    let mut got = [0_u32; 4];
    for _ in 0..16_000 {
        got[number(&balance.pick(&Context::new()).unwrap()) % 4] += 1;
    }
    assert_eq!((got[0], got[2]), (0, 0));
    assert!(got[3].abs_diff(12_000) < 250, "{got:?}");

    held.extend((1..64).filter(|&n| n != 37).map(|n| busy(&upstream, n, 20)));
    for _ in 0..100 {
        assert_eq!(number(&balance.pick(&Context::new()).unwrap()), 37);
    }
    // 2 for weight 1; the first four have 2 for weight 9.
    held.push(busy(&upstream, 37, 1));
    let first = number(&balance.pick(&Context::new()).unwrap());
    assert!(first.is_multiple_of(4), "{first}");
}

#[test]
fn an_idle_endpoint_wins_whatever_its_weight() {
    let upstream = upstream(&[100, 1]);
    let _busy = busy(&upstream, 0, 1);
    let mut balance = Balance::new(&upstream, LeastRequest::full_scan(), ());
    assert_eq!(number(&balance.pick(&Context::new()).unwrap()), 1);
}

#[test]
fn envoys_bias_says_how_much_requests_count_where_weights_differ() {
    // Weights over what is in flight and one more, to the power of the bias.
    for (bias, expected) in [
        (0.0, [4.0, 1.0, 1.0]),
        (1.0, [1.0, 1.0, 0.5]),
        (2.0, [0.25, 1.0, 0.25]),
        (-1.0, [4.0, 1.0, 1.0]),
        (f64::NAN, [4.0, 1.0, 1.0]),
    ] {
        let upstream = upstream(&[4, 1, 1]);
        let _busy = [busy(&upstream, 0, 3), busy(&upstream, 2, 1)];
        let strategy = envoy::LeastRequest::new().with_bias(bias);
        let mut balance = Balance::new(&upstream, strategy, ()).with_seed(1);
        let mut got = [0.0; 3];
        for _ in 0..20_000 {
            got[number(&balance.pick(&Context::new()).unwrap())] += 1.0;
        }
        let total: f64 = expected.iter().sum();
        for (got, expected) in got.iter().zip(expected) {
            let off = got - 20_000.0 * expected / total;
            assert!(off.abs() < 350.0, "bias {bias}: {got}, off by {off}");
        }
    }
}

#[test]
fn envoys_choices_are_drawn_with_replacement() {
    for (choices, of_the_busy) in [(2, 0.25), (4, 0.0625), (0, 0.25)] {
        let upstream = upstream(&[1, 1]);
        let _busy = busy(&upstream, 0, 1);
        let strategy = envoy::LeastRequest::new().with_choices(choices);
        let mut balance = Balance::new(&upstream, strategy, ()).with_seed(1);
        let busy = (0..10_000).filter(|_| number(&balance.pick(&Context::new()).unwrap()) == 0);
        let off = busy.count() as f64 - 10_000.0 * of_the_busy;
        assert!(off.abs() < 220.0, "{choices} choices: off by {off}");
    }
}
