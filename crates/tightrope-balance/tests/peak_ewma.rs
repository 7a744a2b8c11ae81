//! Peak EWMA prefers who answers sooner, and load-aware strategies are not fooled by failures.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use tightrope_balance::{Balance, Context, LeastRequest, PeakEwma, Strategy};
use tightrope_upstream::{Change, Decay, Failure, Health, Outcome, Upstream};
use tokio::time::{Instant, advance};

use crate::support::{number, spec, upstream};

const MS: Duration = Duration::from_millis(1);
const DECAY: Duration = Duration::from_secs(10);

/// Gives each endpoint a latency in milliseconds.
fn set_latencies(upstream: &Upstream, latencies: &[u32]) {
    let snapshot = upstream.snapshot();
    for (member, &latency) in snapshot.members().iter().zip(latencies) {
        let record = member.record();
        record.add_latency(
            record.tick(Instant::now()),
            latency * MS,
            Decay::over(DECAY),
        );
    }
}

fn latency_ms(upstream: &Upstream, endpoint: usize) -> Option<u32> {
    let snapshot = upstream.snapshot();
    let record = snapshot.members()[endpoint].record();
    let latency = record.latency_ns(record.tick(Instant::now()), Decay::over(DECAY));
    latency.map(|ns| (ns / 1e6).round() as u32)
}

/// Where this many requests go that all stay in flight.
fn fill(upstream: &Upstream, strategy: impl Strategy, requests: usize) -> Vec<usize> {
    let count = upstream.snapshot().members().len();
    let mut balance = Balance::new(upstream, strategy, ()).with_seed(1);
    let mut got = vec![0; count];
    let picks: Vec<_> = (0..requests)
        .map(|_| balance.pick(&Context::new()).unwrap())
        .collect();
    for pick in &picks {
        got[number(pick)] += 1;
    }
    got
}

#[tokio::test(start_paused = true)]
async fn the_product_of_latency_and_requests_is_kept_level() {
    let upstream = upstream(&[1, 1, 1]);
    set_latencies(&upstream, &[10, 20, 40]);
    // 10 * 40 = 20 * 20 = 40 * 10: nobody has cost more.
    assert_eq!(fill(&upstream, PeakEwma::full_scan(), 70), [40, 20, 10]);
    // Few are compared by a scan too.
    assert_eq!(fill(&upstream, PeakEwma::new(), 70), [40, 20, 10]);
}

#[tokio::test(start_paused = true)]
async fn weights_are_relative() {
    for unit in [1, 100] {
        let upstream = upstream(&[3 * unit, unit]);
        set_latencies(&upstream, &[10, 10]);
        let got = fill(&upstream, PeakEwma::full_scan(), 400);
        assert_eq!(got, [300, 100]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_faster_of_two_drawn_wins() {
    let upstream = upstream(&[1; 10]);
    set_latencies(&upstream, &[10, 10, 10, 10, 10, 10, 10, 10, 10, 20]);
    let mut balance = Balance::new(&upstream, PeakEwma::with_choices(2), ()).with_seed(1);
    for _ in 0..1_000 {
        assert_ne!(number(&balance.pick(&Context::new()).unwrap()), 9);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_gets_a_share_like_the_others() {
    let upstream = upstream(&[1; 9]);
    set_latencies(&upstream, &[30; 9]);
    upstream.apply(Change::new().add(spec(9, 1))).unwrap();
    for strategy in [
        PeakEwma::full_scan(),
        PeakEwma::new(),
        PeakEwma::with_choices(2),
    ] {
        let got = fill(&upstream, strategy, 1_000);
        assert!((90..=110).contains(&got[9]), "{got:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_back_starts_like_the_others() {
    let upstream = upstream(&[1; 5]);
    let _balance = Balance::new(&upstream, PeakEwma::new(), ());
    set_latencies(&upstream, &[10, 20, 30, 40, 50]);
    let set = |health| {
        let change = Change::new().set_health(crate::support::id(0), health, "test");
        upstream.apply(change).unwrap();
    };
    for (was, pause) in [(10, 60 * DECAY), (3_000, MS)] {
        set_latencies(&upstream, &[was, 20, 30, 40, 50]);
        set(Health::Unhealthy);
        advance(pause).await;
        set_latencies(&upstream, &[0, 20, 30, 40, 50]);
        set(Health::Healthy);
        assert_eq!(latency_ms(&upstream, 0), Some(40)); // the upper of two in the middle
        // Others, and those without a change, keep theirs.
        assert_eq!(latency_ms(&upstream, 1), Some(20));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_was_a_thousand_times_slower_is_tried_again_after_twice_the_decay() {
    let upstream = upstream(&[1; 3]);
    let mut balance = Balance::new(&upstream, PeakEwma::new(), ()).with_seed(1);
    set_latencies(&upstream, &[3_000, 3, 3]);
    let began = Instant::now();
    loop {
        let mut pick = balance.pick(&Context::new()).unwrap();
        if crate::support::number(&pick) == 0 {
            break;
        }
        advance(3 * MS).await;
        pick.answered(Outcome::Success);
        pick.set_outcome(Outcome::Success);
        drop(pick);
        advance(7 * MS).await;
    }
    let seconds = began.elapsed().as_secs();
    assert!((20..=21).contains(&seconds), "{seconds} s");
    // It is quick by now, and is thought of as quick.
    set_latencies(&upstream, &[3, 0, 0]);
    assert_eq!(latency_ms(&upstream, 0), Some(3));
}

#[tokio::test(start_paused = true)]
async fn latencies_come_from_the_attempts() {
    let upstream = upstream(&[1]);
    let mut balance = Balance::new(&upstream, PeakEwma::new(), ());
    let mut attempt = async |outcome, ms: u32| {
        let mut pick = balance.pick(&Context::new()).unwrap();
        advance(ms * MS).await;
        pick.answered(outcome);
        advance(1_000 * MS).await; // the body, which does not count
        pick.set_outcome(outcome);
        drop(pick);
    };
    attempt(Outcome::Cancelled, 5).await;
    attempt(Outcome::Failure(Failure::Response), 5).await;
    assert_eq!(latency_ms(&upstream, 0), None);
    attempt(Outcome::Success, 400).await;
    assert_eq!(latency_ms(&upstream, 0), Some(362)); // 400 ms, a second ago
    // A failure at once is not a quick answer, and a late one says that answers are late.
    let before = latency_ms(&upstream, 0);
    attempt(Outcome::Failure(Failure::Connect), 0).await;
    assert!(latency_ms(&upstream, 0) > before.map(|ms| ms * 9 / 10 - 1));
    attempt(Outcome::Failure(Failure::HeadTimeout), 5_000).await;
    assert!((4_520..4_530).contains(&latency_ms(&upstream, 0).unwrap()));
    // The fault of the client says nothing of the endpoint.
    attempt(Outcome::Failure(Failure::Downstream), 60_000).await;
    assert_eq!(latency_ms(&upstream, 0), None); // that is so long ago that it was forgotten
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_at_once_is_no_magnet() {
    let strategies: [fn() -> Box<dyn Strategy>; 6] = [
        || Box::new(LeastRequest::new()),
        || Box::new(LeastRequest::with_choices(5)),
        || Box::new(LeastRequest::full_scan()),
        || Box::new(PeakEwma::with_choices(2)),
        || Box::new(PeakEwma::new()),
        || Box::new(PeakEwma::full_scan()),
    ];
    for (case, strategy) in strategies.into_iter().enumerate() {
        let upstream = upstream(&[1; 10]);
        let mut balance = Balance::new(&upstream, strategy(), ()).with_seed(1);
        let mut busy = std::collections::VecDeque::new();
        let mut failed = 0;
        // A minute of a thousand requests a second that take 10 ms, but on 0 fail at once.
        for _ in 0..60_000 {
            advance(MS).await;
            let mut pick = balance.pick(&Context::new()).unwrap();
            if number(&pick) == 0 {
                pick.answered(Outcome::Failure(Failure::Response));
                failed += 1;
            } else {
                busy.push_back(pick);
            }
            if busy.len() > 10 {
                let mut done = busy.pop_front().unwrap();
                done.answered(Outcome::Success);
                done.set_outcome(Outcome::Success);
            }
        }
        assert!(
            (1..=12).contains(&failed),
            "{failed} of 60000 in case {case}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_recovers_is_found_by_traffic_alone() {
    let upstream = upstream(&[1; 3]);
    let mut balance = Balance::new(&upstream, PeakEwma::new(), ());
    let mut failing = 0;
    for second in 0..180 {
        for _ in 0..10 {
            advance(100 * MS).await;
            let mut pick = balance.pick(&Context::new()).unwrap();
            if number(&pick) == 0 && second < 60 {
                pick.answered(Outcome::Failure(Failure::Response));
                failing += 1;
            } else {
                advance(MS).await;
                pick.answered(Outcome::Success);
            }
        }
    }
    assert!(failing < 10, "{failing}");
    let snapshot = upstream.snapshot();
    assert_eq!(snapshot.members()[0].record().penalty(), 1);
}
