//! Strategies that choose among some of the endpoints only.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;

use tightrope_balance::{
    Aperture, Balance, Context, LeastRequest, Only, RoundRobin, Strategy, Subset,
};
use tightrope_upstream::{Change, Group, Health, PickError, Upstream};

use crate::support::{id, number, spec, upstream};

/// How many of `requests` each endpoint gets.
fn shares(upstream: &Upstream, strategy: impl Strategy, requests: usize) -> Vec<usize> {
    let mut balance = Balance::new(upstream, strategy, ()).with_seed(1);
    let mut got = vec![0; upstream.snapshot().members().len()];
    for _ in 0..requests {
        got[number(&balance.pick(&Context::new()).unwrap())] += 1;
    }
    got
}

fn inside(shares: &[usize]) -> BTreeSet<usize> {
    let inside = shares.iter().enumerate().filter(|(_, got)| **got > 0);
    inside.map(|(endpoint, _)| endpoint).collect()
}

#[test]
fn all_apertures_together_cover_every_endpoint_alike() {
    for (endpoints, clients) in [(100, 20), (100, 7), (30, 100), (13, 5), (5, 3), (1, 4)] {
        let upstream = upstream(&vec![1; endpoints]);
        let mut total = vec![0.0; endpoints];
        for place in 0..clients {
            let strategy = Aperture::new(RoundRobin::new(), place, clients);
            let got = shares(&upstream, strategy, 4_000);
            assert!(inside(&got).len() >= endpoints.min(12));
            assert!(inside(&got).len() <= endpoints.min(12 + endpoints.div_ceil(clients) + 1));
            for (total, got) in total.iter_mut().zip(got) {
                *total += got as f64;
            }
        }
        let mean = total.iter().sum::<f64>() / endpoints as f64;
        for got in total {
            let what = format!("{got} for {mean}, {endpoints} endpoints, {clients} clients");
            assert!((got / mean - 1.0).abs() < 0.03, "{what}");
        }
    }
}

#[test]
fn an_aperture_follows_weights() {
    let weights: Vec<u32> = (0..12).map(|n| 1 + n % 3).collect();
    let upstream = upstream(&weights);
    let got = shares(&upstream, Aperture::new(RoundRobin::new(), 0, 9), 2_400);
    for (got, weight) in got.into_iter().zip(weights) {
        assert_eq!(got, 100 * weight as usize);
    }
}

#[test]
fn apertures_do_not_depend_on_the_order_of_configuration() {
    let forward = upstream(&[1; 40]);
    let backward = Upstream::new("test");
    let members = (0..40).rev().map(|n| spec(n, 1));
    backward.apply(Change::new().replace(members)).unwrap();
    let numbers = |upstream: &Upstream| -> BTreeSet<usize> {
        let strategy = Aperture::new(RoundRobin::new(), 3, 10);
        let mut balance = Balance::new(upstream, strategy, ());
        let picks = (0..400).map(|_| number(&balance.pick(&Context::new()).unwrap()));
        picks.collect()
    };
    assert_eq!(numbers(&forward), numbers(&backward));
}

#[test]
fn a_place_beyond_the_last_comes_round_and_nought_is_one() {
    let upstream = upstream(&[1; 40]);
    let at = |place, clients| {
        let strategy = Aperture::new(RoundRobin::new(), place, clients).with_endpoints(0);
        inside(&shares(&upstream, strategy, 400))
    };
    assert_eq!(at(13, 10), at(3, 10));
    assert_eq!(at(0, 0).len(), 40); // one client alone looks at everybody
    assert_ne!(at(3, 10), at(4, 10));
}

#[test]
fn a_subset_has_its_size_and_depends_on_the_name_alone() {
    let upstream = upstream(&[1; 40]);
    let of = |name: &str, size| {
        let strategy = Subset::new(RoundRobin::new(), name, size);
        inside(&shares(&upstream, strategy, 400))
    };
    assert_eq!(of("a", 5).len(), 5);
    assert_eq!(of("a", 5), of("a", 5));
    assert_ne!(of("a", 5), of("b", 5));
    assert!(of("a", 8).is_superset(&of("a", 5)));
    assert_eq!(of("a", 0).len(), 1);
    assert_eq!(of("a", 1_000).len(), 40);
}

#[test]
fn a_subset_changes_by_no_more_than_who_left_and_who_came() {
    let upstream = upstream(&[1; 40]);
    let now = |upstream: &Upstream| {
        let strategy = Subset::new(RoundRobin::new(), "a", 10);
        let mut balance = Balance::new(upstream, strategy, ());
        let picks = (0..100).map(|_| number(&balance.pick(&Context::new()).unwrap()));
        picks.collect::<BTreeSet<usize>>()
    };
    let before = now(&upstream);
    for gone in 0..40 {
        upstream.apply(Change::new().remove(id(gone))).unwrap();
        let after = now(&upstream);
        let kept = before.intersection(&after).count();
        let expected = if before.contains(&gone) { 9 } else { 10 };
        assert_eq!(kept, expected, "without {gone}");
        upstream.apply(Change::new().add(spec(gone, 1))).unwrap();
        assert_eq!(now(&upstream), before);
    }
}

#[test]
fn somebody_outside_is_picked_rather_than_nobody() {
    let strategies: [fn() -> Box<dyn Strategy>; 2] = [
        || Box::new(Subset::new(RoundRobin::new(), "a", 5)),
        || Box::new(Aperture::new(RoundRobin::new(), 0, 40).with_endpoints(5)),
    ];
    for strategy in strategies {
        let upstream = upstream(&[1; 40]);
        let mut balance = Balance::new(&upstream, strategy(), ());
        let mut pick = || balance.pick(&Context::new()).map(|pick| number(&pick));
        let scope: BTreeSet<usize> = (0..400).map(|_| pick().unwrap()).collect();
        assert_eq!(scope.len(), 5);
        for &sick in &scope {
            let change = Change::new().set_health(id(sick), Health::Unhealthy, "test");
            upstream.apply(change).unwrap();
        }
        for _ in 0..100 {
            assert!(!scope.contains(&pick().unwrap()));
        }
        // And back inside as soon as there is somebody.
        let healed = *scope.first().unwrap();
        let change = Change::new().set_health(id(healed), Health::Healthy, "test");
        upstream.apply(change).unwrap();
        for _ in 0..100 {
            assert_eq!(pick(), Ok(healed));
        }
    }
}

#[test]
fn only_the_chosen_are_picked_and_nobody_rather_than_others() {
    let upstream = Upstream::new("test");
    let gold = Group::new("gold").unwrap();
    let members = (0..6).map(|n| match n % 3 {
        0 => spec(n, 1).with_group(gold.clone()),
        _ => spec(n, 1),
    });
    upstream.apply(Change::new().replace(members)).unwrap();
    let chosen = gold.clone();
    let only = Only::new(LeastRequest::full_scan(), move |endpoint| {
        endpoint.group() == Some(&chosen)
    });
    let mut balance = Balance::new(&upstream, only, ());
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(balance.pick(&Context::new()).unwrap());
    }
    // By the counts of the endpoints themselves.
    let snapshot = upstream.snapshot();
    let in_flight = snapshot
        .members()
        .iter()
        .map(|member| member.record().in_flight());
    assert_eq!(in_flight.collect::<Vec<_>>(), [5, 0, 0, 5, 0, 0]);

    // Who joins is looked at, and who is out is out.
    upstream
        .apply(Change::new().add(spec(6, 1).with_group(gold)))
        .unwrap();
    for _ in 0..5 {
        held.push(balance.pick(&Context::new()).unwrap());
    }
    assert!(held[10..].iter().all(|pick| number(pick) == 6));
    for out in [0, 3, 6] {
        upstream
            .apply(Change::new().drain(id(out), "test"))
            .unwrap();
    }
    let error = balance.pick(&Context::new()).unwrap_err();
    assert_eq!(error, PickError::Unavailable { members: 7 });
}
