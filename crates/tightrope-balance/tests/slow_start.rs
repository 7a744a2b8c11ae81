//! Endpoints that start slowly get as much as they have of their weight.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use tightrope_balance::{
    Balance, Bounded, Context, Jump, LeastRequest, Maglev, PeakEwma, Rendezvous, RingHash,
    RoundRobin, Strategy, WeightedRandom, nginx,
};
use tightrope_upstream::{Change, Ramp, RampGuard, Upstream};
use tokio::time::advance;

use crate::support::{STRATEGIES, assert_shares, id, number, spec, tried, upstream};

/// Three endpoints, and a fourth that joins them now.
fn joined() -> (Upstream, RampGuard) {
    let upstream = upstream(&[1, 1, 1]);
    let ramps = upstream.begin_ramps(Ramp::new(Duration::from_secs(100)).unwrap());
    upstream.apply(Change::new().add(spec(3, 1))).unwrap();
    (upstream, ramps)
}

async fn grow(upstream: &Upstream, seconds: u64) {
    advance(Duration::from_secs(seconds)).await;
    upstream.advance_ramps();
}

/// Where each of 20,000 keys goes.
fn picked(balance: &mut Balance<()>) -> Vec<usize> {
    let keys = 0..20_000_u32;
    keys.map(|key| {
        let key = key.to_le_bytes();
        let context = Context::new().with_key(&key);
        number(&balance.pick(&context).unwrap())
    })
    .collect()
}

fn shares(picked: &[usize]) -> Vec<u32> {
    let mut got = vec![0; 4];
    for &number in picked {
        got[number] += 1;
    }
    got
}

#[tokio::test(start_paused = true)]
async fn those_that_go_by_weight_follow_the_curve() {
    let strategies: [(&str, fn() -> Box<dyn Strategy>); 4] = [
        ("round robin", || Box::new(RoundRobin::new())),
        ("random", || Box::new(WeightedRandom::new())),
        ("full scan while all are idle", || {
            Box::new(LeastRequest::full_scan())
        }),
        ("least_conn while all are idle", || {
            Box::new(nginx::LeastConn::new())
        }),
    ];
    for (name, strategy) in strategies {
        let (upstream, _ramps) = joined();
        let mut balance = Balance::new(&upstream, strategy(), ()).with_seed(1);
        assert_shares(name, &shares(&picked(&mut balance)), &[10, 10, 10, 1]);
        grow(&upstream, 50).await;
        assert_shares(name, &shares(&picked(&mut balance)), &[10, 10, 10, 5]);
        grow(&upstream, 50).await;
        assert_shares(name, &shares(&picked(&mut balance)), &[1, 1, 1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_starved_behind_a_schedule_that_was_made_at_the_start() {
    let (upstream, _ramps) = joined();
    let mut balance = Balance::new(&upstream, RoundRobin::new(), ()).with_seed(1);
    for _ in 0..20 {
        grow(&upstream, 5).await;
        let context = Context::new();
        let twice_around = (0..62).map(|_| number(&balance.pick(&context).unwrap()));
        assert!(twice_around.filter(|&number| number == 3).count() >= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn load_aware_strategies_give_a_newcomer_no_more_than_its_part_of_the_load() {
    let strategies: [(&str, fn() -> Box<dyn Strategy>); 3] = [
        ("least request", || Box::new(LeastRequest::new())),
        ("full scan", || Box::new(LeastRequest::full_scan())),
        ("peak ewma", || Box::new(PeakEwma::full_scan())),
    ];
    for (name, strategy) in strategies {
        let (upstream, _ramps) = joined();
        let mut balance = Balance::new(&upstream, strategy(), ()).with_seed(1);
        for (seconds, share) in [(0, 10), (20, 20), (30, 50), (50, 100)] {
            grow(&upstream, seconds).await;
            // None ends: what each has in flight is what the strategy thinks right.
            let held: Vec<_> = (0..1_000)
                .map(|_| balance.pick(&Context::new()).unwrap())
                .collect();
            let newcomer = held.iter().filter(|pick| number(pick) == 3).count();
            let fair = 1_000 * share / (300 + share);
            assert!(
                newcomer >= fair / 2 && newcomer <= fair + fair / 4 + 2,
                "{name} at {share} %: {newcomer}, fair is {fair}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hash_gives_a_newcomer_its_keys_one_after_the_other_and_moves_no_others() {
    let strategies: [(&str, fn() -> Box<dyn Strategy>); 6] = [
        ("maglev", || Box::new(Maglev::new())),
        ("ring", || Box::new(RingHash::new())),
        ("rendezvous", || Box::new(Rendezvous::new())),
        ("jump", || Box::new(Jump::new())),
        ("bounded maglev", || Box::new(Bounded::new(Maglev::new()))),
        ("bounded ring", || Box::new(Bounded::new(RingHash::new()))),
    ];
    for (name, strategy) in strategies {
        let (upstream, _ramps) = joined();
        let mut balance = Balance::new(&upstream, strategy(), ()).with_seed(1);
        let mut before = picked(&mut balance);
        let first = shares(&before)[3];
        for step in 1..=20 {
            grow(&upstream, 5).await;
            let after = picked(&mut balance);
            let moved = before.iter().zip(&after).filter(|(from, to)| from != to);
            assert!(moved.clone().all(|(_, &to)| to == 3), "{name}, step {step}");
            before = after;
        }
        let all = shares(&before)[3];
        let part = f64::from(first) / f64::from(all);
        assert!((0.08..0.12).contains(&part), "{name}: {first} of {all}");
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_who_starts_slowly_is_better_than_nobody() {
    for (name, strategy) in STRATEGIES {
        let (upstream, _ramps) = joined();
        let mut balance = Balance::new(&upstream, strategy(), ()).with_seed(1);
        let others = tried(&[0, 1, 2]);
        for key in 0..50_u8 {
            let key = [key];
            let context = Context::new()
                .with_attempt(&others)
                .with_key(&key)
                .with_client([10, 0, 0, key[0]].into());
            assert_eq!(number(&balance.pick(&context).unwrap()), 3, "{name}");
        }
        let out = (0..3).fold(Change::new(), |change, n| change.drain(id(n), "x"));
        upstream.apply(out).unwrap();
        assert_eq!(
            number(
                &balance
                    .pick(
                        &Context::new()
                            .with_key(b"key")
                            .with_client([10, 0, 0, 1].into())
                    )
                    .unwrap()
            ),
            3,
            "{name}"
        );
    }
}
