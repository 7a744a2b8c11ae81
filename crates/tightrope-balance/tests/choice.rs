//! What holds for every strategy, whatever the upstream looks like.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proptest::{collection::vec, prelude::*, sample::subsequence};
use tightrope_balance::{Balance, Context, FailOpen, FirstAvailable, LeastRequest, RoundRobin};
use tightrope_upstream::{Attempt, Change, EndpointId, Group, Health, PickError, Upstream};

use crate::support::{STRATEGIES, id, in_flight, number, spec, tried, upstream};

/// An endpoint and all that may speak against it.
#[derive(Clone, Debug)]
struct Member {
    weight: u32,
    group: Option<&'static str>,
    drained: bool,
    unhealthy: bool,
    ejected: bool,
}

fn member() -> impl Strategy<Value = Member> {
    let weight = prop_oneof![Just(0), Just(1), 1_u32..6, Just(100)];
    let group = prop_oneof![Just(None), Just(Some("blue")), Just(Some("green"))];
    let rarely = || prop::bool::weighted(0.2);
    (weight, group, rarely(), rarely(), rarely()).prop_map(
        |(weight, group, drained, unhealthy, ejected)| Member {
            weight,
            group,
            drained,
            unhealthy,
            ejected,
        },
    )
}

#[derive(Clone, Debug)]
struct Case {
    members: Vec<Member>,
    active: Option<&'static str>,
    tried: Vec<usize>,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    vec(member(), 0..9)
        .prop_flat_map(|members| {
            let numbers: Vec<usize> = (0..members.len()).collect();
            let some = 0..=numbers.len();
            (
                Just(members),
                subsequence(numbers, some),
                any::<u64>(),
                any::<bool>(),
            )
        })
        .prop_map(|(members, tried, seed, grouped)| {
            let first = members.first().and_then(|member| member.group);
            Case {
                active: first.filter(|_| grouped),
                members,
                tried,
                seed,
            }
        })
}

impl Case {
    fn upstream(&self) -> Upstream {
        let upstream = Upstream::new("case");
        let mut change = Change::new();
        for (n, member) in self.members.iter().enumerate() {
            let mut spec = spec(n, member.weight);
            spec.group = member.group.map(|group| Group::new(group).unwrap());
            change = change.add(spec);
            if member.drained {
                change = change.drain(id(n), "test");
            }
            if member.unhealthy {
                change = change.set_health(id(n), Health::Unhealthy, "test");
            }
            if member.ejected {
                change = change.eject(id(n), "test");
            }
        }
        if let Some(group) = self.active {
            change = change.activate(Group::new(group).unwrap());
        }
        upstream.apply(change).unwrap();
        upstream
    }

    /// The endpoints that are available by the rules, sick ones included or not.
    fn available(&self, sick_too: bool) -> Vec<usize> {
        let serves = |member: &Member| {
            member.weight > 0
                && !member.drained
                && self
                    .active
                    .is_none_or(|active| member.group == Some(active))
                && (sick_too || !member.unhealthy && !member.ejected)
        };
        let members = self.members.iter().enumerate();
        members
            .filter(|(_, member)| serves(member))
            .map(|(n, _)| n)
            .collect()
    }

    /// An attempt that went to those that were tried, and to somebody who is not there.
    fn attempt(&self) -> Attempt {
        if self.tried.is_empty() {
            return Attempt::first();
        }
        tried(&self.tried).next(EndpointId::new("gone").unwrap())
    }
}

const CLIENTS: [[u8; 4]; 4] = [
    [192, 0, 2, 1],
    [10, 1, 2, 3],
    [0, 0, 0, 0],
    [255, 255, 255, 255],
];

/// The outcome of twenty picks with what may be known of requests.
fn picks(balance: &mut Balance<()>, attempt: &Attempt) -> Vec<Result<usize, PickError>> {
    let picks = (0..20_usize).map(|n| {
        let key = n.to_string();
        let mut context = Context::new().with_attempt(attempt);
        if n % 3 != 0 {
            context = context
                .with_key(key.as_bytes())
                .with_client(CLIENTS[n % 4].into());
        }
        balance.pick(&context).map(|pick| number(&pick))
    });
    picks.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_available_endpoints_that_were_not_tried_are_picked(case in case()) {
        let upstream = case.upstream();
        let attempt = case.attempt();
        for (what, make) in STRATEGIES {
            let mut available = case.available(false);
            let listed = available.len();
            if what == "fail_open" && available.is_empty() {
                available = case.available(true);
            }
            let allowed: Vec<usize> = available
                .iter()
                .copied()
                .filter(|n| !case.tried.contains(n))
                .collect();
            let expected = match (case.members.len(), listed) {
                (0, _) => PickError::Empty,
                (members, 0) => PickError::Unavailable { members },
                (_, available) => PickError::Exhausted { available },
            };
            let mut balance = Balance::new(&upstream, make(), ()).with_seed(case.seed);
            for pick in picks(&mut balance, &attempt) {
                match pick {
                    Ok(n) => prop_assert!(allowed.contains(&n), "{what} picked {n}"),
                    Err(error) => {
                        prop_assert!(allowed.is_empty(), "{what}: {error}");
                        prop_assert_eq!(error, expected, "{}", what);
                    }
                }
            }
        }
        prop_assert_eq!(in_flight(&upstream), 0);
    }

    #[test]
    fn the_same_seed_gives_the_same_picks(case in case()) {
        let attempt = case.attempt();
        for (what, make) in STRATEGIES {
            let again = || {
                let balance = Balance::new(&case.upstream(), make(), ());
                let mut balance = balance.with_seed(case.seed);
                let mut clone = balance.clone();
                let mut picked = picks(&mut balance, &attempt);
                picked.extend(picks(&mut clone, &attempt));
                picked
            };
            prop_assert_eq!(again(), again(), "{}", what);
        }
    }
}

#[test]
fn clones_draw_chance_of_their_own() {
    let upstream = upstream(&[1; 50]);
    let mut balance =
        Balance::new(&upstream, tightrope_balance::WeightedRandom::new(), ()).with_seed(3);
    let mut clone = balance.clone();
    let first = Attempt::first();
    assert_ne!(picks(&mut balance, &first), picks(&mut clone, &first));
}

#[test]
fn nobody_is_an_error_of_its_own() {
    for (what, make) in STRATEGIES {
        let empty = Upstream::new("empty");
        let mut balance = Balance::new(&empty, make(), ());
        let context = Context::new();
        assert_eq!(
            balance.pick(&context).unwrap_err(),
            PickError::Empty,
            "{what}"
        );

        let mut balance = Balance::new(&upstream(&[0, 0, 0]), make(), ());
        let expected = PickError::Unavailable { members: 3 };
        assert_eq!(balance.pick(&context).unwrap_err(), expected, "{what}");

        let mut balance = Balance::new(&upstream(&[7]), make(), ());
        assert_eq!(number(&balance.pick(&context).unwrap()), 0, "{what}");
        let attempt = tried(&[0]);
        let again = Context::new().with_attempt(&attempt);
        let expected = PickError::Exhausted { available: 1 };
        assert_eq!(balance.pick(&again).unwrap_err(), expected, "{what}");
    }
}

#[test]
fn five_thousand_endpoints_are_balanced() {
    let count = 5_000;
    let equal = upstream(&vec![1; count]);
    let mixed: Vec<u32> = (0..5_000).map(|n| n * 7_919 % 60_000).collect();
    let mixed = upstream(&mixed);
    let weightless = upstream(&vec![0; count]);
    let most: Vec<usize> = (0..8).collect();
    let attempt = tried(&most);
    // These look at all of them in every pick, or have points by the million.
    let slow = [
        "rendezvous",
        "bounded_rendezvous",
        "nginx_least_conn",
        "nginx_consistent_hash",
        "ring_hash",
    ];
    for (what, make) in STRATEGIES {
        if slow.contains(&what) {
            continue;
        }
        for upstream in [&equal, &mixed] {
            let mut balance = Balance::new(upstream, make(), ());
            for pick in picks(&mut balance, &Attempt::first()) {
                assert!(pick.is_ok(), "{what}");
            }
            for pick in picks(&mut balance, &attempt) {
                assert!(!most.contains(&pick.unwrap()), "{what}");
            }
        }
        let mut balance = Balance::new(&weightless, make(), ());
        let expected = PickError::Unavailable { members: count };
        assert_eq!(balance.pick(&Context::new()).unwrap_err(), expected);
    }
}

#[test]
fn the_sick_are_picked_rather_than_nobody_only_where_asked_for() {
    let upstream = upstream(&[1, 1, 1, 0]);
    let mut closed = Balance::new(&upstream, RoundRobin::new(), ());
    let mut open = Balance::new(&upstream, FailOpen::new(RoundRobin::new()), ());
    let context = Context::new();
    let sick = Change::new()
        .set_health(id(0), Health::Unhealthy, "test")
        .eject(id(1), "test")
        .drain(id(2), "test");
    upstream.apply(sick).unwrap();
    let expected = PickError::Unavailable { members: 4 };
    assert_eq!(closed.pick(&context).unwrap_err(), expected);
    let mut picked: Vec<usize> = (0..4)
        .map(|_| number(&open.pick(&context).unwrap()))
        .collect();
    picked.sort_unstable();
    assert_eq!(picked, [0, 0, 1, 1]);

    // As soon as one is well again only that one is picked.
    upstream
        .apply(Change::new().restore(id(1), "test"))
        .unwrap();
    for _ in 0..10 {
        assert_eq!(number(&open.pick(&context).unwrap()), 1);
    }
}

#[test]
fn the_first_available_is_picked_in_the_order_of_configuration() {
    let upstream = upstream(&[1, 0, 5, 1]);
    let mut balance = Balance::new(&upstream, FirstAvailable::new(), ());
    let mut picks = |tried_before: &[usize]| {
        let attempt = tried(tried_before);
        let context = Context::new().with_attempt(&attempt);
        [(); 3].map(|()| balance.pick(&context).map(|pick| number(&pick)))
    };
    assert_eq!(picks(&[]), [Ok(0); 3]);
    assert_eq!(picks(&[0]), [Ok(2); 3]);
    assert_eq!(picks(&[0, 2]), [Ok(3); 3]);
    upstream
        .apply(Change::new().set_health(id(0), Health::Unhealthy, "test"))
        .unwrap();
    assert_eq!(picks(&[]), [Ok(2); 3]);
    upstream
        .apply(Change::new().set_health(id(0), Health::Healthy, "test"))
        .unwrap();
    assert_eq!(picks(&[]), [Ok(0); 3]);
}

#[test]
fn a_change_does_not_start_the_turns_anew() {
    let upstream = upstream(&[1, 1, 1]);
    let mut balance = Balance::new(&upstream, RoundRobin::new(), ());
    let context = Context::new();
    let mut got = [0; 4];
    for n in 0..300 {
        got[number(&balance.pick(&context).unwrap())] += 1;
        // A change before every pick: each would send everybody to the first endpoint.
        let weight = if n % 2 == 0 { 1 } else { 0 };
        let change = Change::new().set_weight(id(0), tightrope_upstream::Weight::from(weight));
        upstream.apply(change).unwrap();
    }
    assert!(got[1] > 40 && got[2] > 40, "{got:?}");
}

#[test]
fn more_or_fewer_choices_than_there_may_be_are_clamped() {
    for choices in [0, 1, 2, 16, 17, usize::MAX] {
        let strategy = LeastRequest::with_choices(choices);
        let mut balance = Balance::new(&upstream(&[1; 40]), strategy, ());
        assert!(balance.pick(&Context::new()).is_ok());
    }
}
