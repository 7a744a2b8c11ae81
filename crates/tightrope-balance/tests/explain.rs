//! A balancer explains its choice, and does not change it by that.

use std::time::Duration;

use tightrope_balance::{
    Balance, Context, Jump, LeastRequest, Maglev, PeakEwma, Rendezvous, RingHash, RoundRobin,
};
use tightrope_upstream::{Attempt, Availability, Change, Decay, Group, Health};
use tokio::time::Instant;

use crate::support::{Make, STRATEGIES, id, number, spec, tried, upstream};

/// What is known of the `n`-th request: a client and a key.
fn context(n: &u8) -> Context<'_> {
    let key = std::slice::from_ref(n);
    Context::new()
        .with_client([192, 0, 2, *n].into())
        .with_key(key)
}

fn retry(attempt: &Attempt) -> Context<'_> {
    Context::new().with_attempt(attempt)
}

#[test]
fn explains_what_the_next_pick_is() {
    for (name, make) in STRATEGIES {
        let upstream = upstream(&[3, 1, 2, 1]);
        let mut balance = Balance::new(&upstream, make(), ())
            .with_context(context)
            .with_seed(7);
        let mut held = Vec::new();
        for n in 0..40 {
            let explained = balance.explain(&n);
            let chosen = explained.chosen().unwrap().endpoint.id().clone();
            let pick = balance.pick(&context(&n)).unwrap();
            assert_eq!(*pick.endpoint().id(), chosen, "{name}, pick {n}");
            held.push(pick);
        }
    }
}

#[test]
fn an_explanation_takes_no_turn() {
    for (name, make) in STRATEGIES {
        let picks = |explanations: u8| -> Vec<usize> {
            let upstream = upstream(&[5, 1, 1]);
            let mut balance = Balance::new(&upstream, make(), ())
                .with_context(context)
                .with_seed(7);
            let picks = (0..20).map(|n| {
                (0..explanations).for_each(|_| drop(balance.explain(&n)));
                number(&balance.pick(&context(&n)).unwrap())
            });
            picks.collect()
        };
        assert_eq!(picks(3), picks(0), "{name}");
    }
}

#[test]
fn a_retry_that_is_explained_takes_no_turn_either() {
    let upstream = upstream(&[1, 1, 1, 1]);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), ()).with_context(retry);
    let attempt = tried(&[0]);
    for _ in 0..10 {
        let explained = balance.explain(&attempt);
        let pick = balance.pick(&retry(&attempt)).unwrap();
        assert_eq!(
            pick.endpoint().id(),
            explained.chosen().unwrap().endpoint.id()
        );
    }
}

#[test]
fn tells_why_others_are_out() {
    let upstream = upstream(&[1, 1, 1, 0, 1]);
    let change = Change::new()
        .drain(id(0), "maintenance")
        .set_group(id(1), Some(Group::new("green").unwrap()));
    upstream.apply(change).unwrap();
    upstream
        .apply(Change::new().activate(Group::new("green").unwrap()))
        .unwrap();
    let balance = Balance::new(&upstream, RoundRobin::new(), ());
    let explained = balance.explain(&());
    assert_eq!(*explained.chosen().unwrap().endpoint.id(), id(1));
    upstream.apply(Change::new().activate_all()).unwrap();

    let explained = balance.with_context(retry).explain(&tried(&[2]));
    let why: Vec<_> = explained
        .candidates()
        .iter()
        .map(|candidate| (candidate.availability, candidate.is_tried))
        .collect();
    assert_eq!(
        why,
        [
            (Availability::Draining, false),
            (Availability::Available, false),
            (Availability::Available, true),
            (Availability::Unweighted, false),
            (Availability::Available, false),
        ]
    );
    let chosen = explained.chosen().unwrap();
    assert!([id(1), id(4)].contains(chosen.endpoint.id()));
}

#[test]
fn nobody_is_chosen_from_nobody() {
    let upstream = upstream(&[]);
    let balance = Balance::new(&upstream, LeastRequest::new(), ());
    let explained = balance.explain(&());
    assert!(explained.chosen().is_none() && explained.candidates().is_empty());
    assert_eq!(explained.to_string(), "upstream test, generation 0");
}

#[tokio::test(start_paused = true)]
async fn scores_are_what_is_compared() {
    let upstream = upstream(&[1, 1, 2]);
    let snapshot = upstream.snapshot();
    let members = snapshot.members();
    let _busy: Vec<_> = [0, 0, 2].map(|n: usize| members[n].pick().unwrap()).into();
    let balance = Balance::new(&upstream, LeastRequest::full_scan(), ());
    let scores = |balance: Balance<()>| -> Vec<Option<f64>> {
        let explained = balance.explain(&());
        explained
            .candidates()
            .iter()
            .map(|candidate| candidate.score)
            .collect()
    };
    assert_eq!(scores(balance), [Some(3.0), Some(0.0), Some(1.0)]);

    for (member, latency) in members.iter().zip([1, 4]) {
        let decay = Decay::over(Duration::from_secs(10));
        let record = member.record();
        record.add_latency(
            record.tick(Instant::now()),
            Duration::from_millis(latency),
            decay,
        );
    }
    // A mean weight of 4/3, so that two in flight on a weight of 1 count 1 + 2 * 4/3.
    let [first, second, third] = scores(Balance::new(&upstream, PeakEwma::full_scan(), ()))
        .try_into()
        .unwrap();
    assert!((first.unwrap() / 1e6 - 11.0 / 3.0).abs() < 1e-3);
    assert!((second.unwrap() / 1e6 - 4.0).abs() < 1e-3);
    assert_eq!(third, None);
}

#[test]
fn a_key_goes_to_the_lowest_score_and_on_in_their_order() {
    let strategies: [(&str, Make); 4] = [
        ("maglev", || Box::new(Maglev::new().with_table_size(500))),
        ("ring_hash", || Box::new(RingHash::new())),
        ("rendezvous", || Box::new(Rendezvous::new())),
        ("jump", || Box::new(Jump::new())),
    ];
    for (name, make) in strategies {
        let upstream = upstream(&[1, 2, 3, 1, 1]);
        let balance = Balance::new(&upstream, make(), ()).with_context(context);
        for key in 0..50 {
            let explained = balance.explain(&key);
            let mut by_score = explained.candidates().to_vec();
            by_score.sort_by(|a, b| a.score.unwrap().total_cmp(&b.score.unwrap()));
            // One after the other becomes sick, and the next takes over.
            for candidate in &by_score {
                let explained = balance.explain(&key);
                let (chosen, expected) = (explained.chosen().unwrap(), candidate.endpoint.id());
                assert_eq!(chosen.endpoint.id(), expected, "{name}, key {key}");
                let change = Change::new().set_health(expected.clone(), Health::Unhealthy, "test");
                upstream.apply(change).unwrap();
            }
            let healed = by_score.iter().fold(Change::new(), |change, candidate| {
                change.set_health(candidate.endpoint.id().clone(), Health::Healthy, "test")
            });
            upstream.apply(healed).unwrap();
        }
    }
    // A request without a key goes to a random one.
    let upstream = upstream(&[1, 1]);
    let explained = Balance::new(&upstream, Rendezvous::new(), ()).explain(&());
    assert!(explained.candidates().iter().all(|one| one.score.is_none()));
}

#[test]
fn text_is_a_line_for_each() {
    let upstream = upstream(&[1, 2]);
    upstream
        .apply(Change::new().remove(id(0)).add(spec(9, 1)))
        .unwrap();
    let balance = Balance::new(&upstream, RoundRobin::new(), ());
    assert_eq!(
        balance.explain(&()).to_string(),
        "upstream test, generation 2\n\
         > 1: available, weight 2, 0 in flight\n  \
           9: available, weight 1, 0 in flight"
    );
}
