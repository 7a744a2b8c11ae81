//! Prequal picks by what endpoints say, and does without where they say nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tightrope_balance::{
    Balance, Context, Prequal,
    prequal::{Meter, PrequalBuilder, PrequalError, Probe, ProbeFuture, Report},
};
use tightrope_upstream::{Change, Endpoint, Failure, Health, Outcome, Pick, Upstream};
use tokio::{
    task::{JoinHandle, yield_now},
    time::{advance, sleep},
};

use crate::support::{id, number, spec, tried, upstream};

const MS: Duration = Duration::from_millis(1);

/// What endpoints answer; those of whom nothing is known fail.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    reports: HashMap<usize, Report>,
    asked: Vec<usize>,
}

impl Script {
    /// Requests in flight and milliseconds of each.
    fn new(reports: &[(u32, u32)]) -> Self {
        let script = Self::default();
        for (endpoint, &(in_flight, ms)) in reports.iter().enumerate() {
            script.set(endpoint, in_flight, ms);
        }
        script
    }

    fn set(&self, endpoint: usize, in_flight: u32, ms: u32) {
        let report = Report::new(in_flight).with_latency(ms * MS);
        self.0.lock().unwrap().reports.insert(endpoint, report);
    }

    /// From now on everybody fails.
    fn fail(&self) {
        self.0.lock().unwrap().reports.clear();
    }

    /// Who was asked since the last time.
    fn asked(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }
}

impl Probe for Script {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(async {
            let number = endpoint.id().as_str().parse()?;
            let mut answers = self.0.lock().map_err(|_| "a test failed")?;
            answers.asked.push(number);
            Ok(*answers.reports.get(&number).ok_or("out of order")?)
        })
    }
}

/// A balancer and its prober.
struct Probed {
    balance: Balance<()>,
    prober: JoinHandle<()>,
}

impl Probed {
    fn new(upstream: &Upstream, builder: PrequalBuilder, probe: impl Probe) -> Self {
        let (strategy, prober) = builder.with_seed(1).build(probe);
        Self {
            balance: Balance::new(upstream, strategy, ()).with_seed(1),
            prober: tokio::spawn(prober),
        }
    }

    /// After a first pick, and the reports that it brought.
    async fn filled(upstream: &Upstream, builder: PrequalBuilder, probe: impl Probe) -> Self {
        let mut probed = Self::new(upstream, builder, probe);
        settle().await;
        probed.pick();
        settle().await;
        probed
    }

    fn pick(&mut self) -> usize {
        number(&self.hold())
    }

    fn hold(&mut self) -> Pick {
        self.balance.pick(&Context::new()).unwrap()
    }
}

/// Lets the prober do what it can.
async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

/// Probes as many as there are for each request, so that the pool is full at once.
fn all() -> PrequalBuilder {
    Prequal::builder().with_probes(16.0).unwrap()
}

/// Keeps the endpoint busy with requests of this balancer, so that it is not picked without
/// reports.
fn busy(upstream: &Upstream, endpoint: usize) -> Vec<Pick> {
    let snapshot = upstream.snapshot();
    let endpoint = &snapshot.members()[endpoint];
    (0..9).map(|_| endpoint.pick().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_quickest_of_the_cold_is_picked_and_of_the_hot_the_least_busy() {
    let upstream = upstream(&[1; 4]);
    let script = Script::new(&[(1, 50), (1, 20), (9, 1), (10, 1)]);
    let builder = all().with_threshold(0.5).unwrap();
    let mut probed = Probed::filled(&upstream, builder, script.clone()).await;
    let explained = probed.balance.explain(&());
    let scores: Vec<f64> = explained
        .candidates()
        .iter()
        .map(|one| one.score.unwrap())
        .collect();
    assert!(scores[1] < scores[0] && scores[0] < 1.0, "{scores:?}");
    assert_eq!(scores[2..], [11.0, 12.0]);
    // 1 is the quicker of the two that are cold; its use makes it hot, then 0 is the only one that
    // is cold. Then all are hot, and 0 and 1 the least busy until they are as busy as 2.
    let picks: Vec<usize> = (0..18).map(|_| probed.pick()).collect();
    assert_eq!(picks[..2], [1, 0]);
    assert_eq!(picks[2..4], [1, 0]);
    assert_eq!(picks[16..], [2, 1]);
    // News tell that the requests are done.
    settle().await;
    assert_eq!(probed.pick(), 1);
    script.set(0, 0, 10);
    for (endpoint, ms) in [(1, 20), (2, 1), (3, 1)] {
        script.set(endpoint, 40, ms);
    }
    settle().await;
    probed.pick();
    settle().await;
    assert_eq!(probed.pick(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_used_for_a_second() {
    let upstream = upstream(&[1, 1]);
    let script = Script::new(&[(0, 1), (5, 50)]);
    let mut probed = Probed::filled(&upstream, all(), script.clone()).await;
    let _busy = busy(&upstream, 0);
    script.fail();
    advance(999 * MS).await;
    assert_eq!(probed.pick(), 0);
    advance(MS).await;
    assert_eq!(probed.pick(), 1);
    // Those that come later count again.
    script.set(0, 0, 1);
    script.set(1, 5, 50);
    settle().await;
    probed.pick();
    settle().await;
    assert_eq!(probed.pick(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_used_once_where_enough_come() {
    let upstream = upstream(&[1; 100]);
    let latencies: Vec<(u32, u32)> = (0..100).map(|n| (0, 1 + n)).collect();
    let script = Script::new(&latencies);
    let builder = all().with_threshold(1.0).unwrap();
    let mut probed = Probed::filled(&upstream, builder, script.clone()).await;
    let mut asked = script.asked();
    assert_eq!(asked.len(), 16);
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 16, "drawn without replacement");
    // 2 / ((1 - 16 / 100) * 16 - 1) is less than 1: the quickest, the next, and so on. Of the last
    // one there is nothing to compare it with.
    let picked: Vec<usize> = (0..15).map(|_| probed.pick()).collect();
    assert_eq!(picked, asked[..15]);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_used_more_often_where_few_come() {
    // 2 / ((1 - 16 / 100) * 2 - 1) is 2.94, and with 1 it is as much as may be.
    for (probes, from, to) in [(2.0, 2.5, 3.3), (1.0, 14.0, 16.1)] {
        let upstream = upstream(&[1; 100]);
        let script = Script::new(&[(0, 10); 100]);
        let builder = Prequal::builder().with_probes(probes).unwrap();
        let mut probed = Probed::new(&upstream, builder, script.clone());
        for _ in 0..40 {
            settle().await;
            probed.pick();
        }
        let _busy: Vec<_> = script.asked().iter().map(|&n| busy(&upstream, n)).collect();
        // Without news: picks until one goes where least request would.
        let mut uses = [0; 100];
        loop {
            let snapshot = upstream.snapshot();
            let endpoint = probed.pick();
            if snapshot.members()[endpoint].record().in_flight() == 0 {
                break;
            }
            uses[endpoint] += 1;
        }
        let used = uses.iter().filter(|&&uses| uses > 0).count();
        let mean = uses.iter().sum::<u32>() as f32 / used as f32;
        assert!((from..to).contains(&mean), "{mean} with {probes}");
    }
}

#[tokio::test(start_paused = true)]
async fn for_every_request_a_report_goes() {
    let upstream = upstream(&[1; 100]);
    let script = Script::new(&[(0, 10); 100]);
    let mut probed = Probed::filled(&upstream, all(), script.clone()).await;
    let reported = script.asked();
    let _busy: Vec<_> = reported.iter().map(|&n| busy(&upstream, n)).collect();
    script.fail();
    let mut by_report = 0;
    while reported.contains(&probed.pick()) {
        by_report += 1;
        settle().await;
    }
    // Of 16 one is used and one removed for each.
    assert!((7..=9).contains(&by_report), "{by_report}");
}

#[tokio::test(start_paused = true)]
async fn the_oldest_and_the_worst_go_in_turn() {
    /// Answers come in the order of the endpoints.
    struct InOrder(Script);
    impl Probe for InOrder {
        fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
            Box::pin(async move {
                let number: u32 = endpoint.id().as_str().parse()?;
                sleep(number * MS).await;
                self.0.probe(endpoint).await
            })
        }
    }
    let upstream = upstream(&[1; 4]);
    // The last one is the busiest, so nobody is hot at first.
    let script = Script::new(&[(0, 10), (0, 20), (0, 90), (5, 30)]);
    let builder = Prequal::builder().with_probes(4.0).unwrap();
    let builder = builder.with_threshold(1.0).unwrap();
    let mut probed = Probed::filled(&upstream, builder, InOrder(script.clone())).await;
    sleep(5 * MS).await;
    script.fail();
    // Slightly less than one for each: two are left.
    for _ in 0..3 {
        probed.pick();
        sleep(5 * MS).await;
    }
    // The oldest was 0, the worst of the others 2. So 1 gets all, with one that it has, until it
    // is as busy as 3 and the request to come would make it hot.
    let left: [usize; 6] = std::array::from_fn(|_| probed.pick());
    assert_eq!(left, [1, 1, 1, 1, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn picks_do_without_reports_where_probes_fail() {
    let upstream = upstream(&[1, 1, 1]);
    let mut probed = Probed::filled(&upstream, all(), Script::default()).await;
    let _busy = [busy(&upstream, 0), busy(&upstream, 2)];
    let mut got = [0; 3];
    for _ in 0..300 {
        got[probed.pick()] += 1;
        settle().await;
    }
    // As by least request: 1 unless it is the one that is not drawn.
    assert!((150..250).contains(&got[1]), "{got:?}");
    // One report is not enough to compare.
    let script = Script::new(&[(0, 1)]);
    let mut probed = Probed::filled(&upstream, all(), script).await;
    let mut got = [0; 3];
    for _ in 0..300 {
        got[probed.pick()] += 1;
        settle().await;
    }
    assert!((150..250).contains(&got[1]), "{got:?}");
}

/// Counts the probes that are awaited, and answers none.
#[derive(Clone, Default)]
struct Silent(Arc<AtomicUsize>);

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Probe for Silent {
    fn probe<'a>(&'a self, _: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(async {
            self.0.fetch_add(1, Ordering::Relaxed);
            let _open = Open(Arc::clone(&self.0));
            std::future::pending().await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn probes_end_in_time_and_only_so_many_are_awaited() {
    let upstream = upstream(&[1; 100]);
    let probe = Silent::default();
    let builder = Prequal::builder()
        .with_timeout(5 * MS)
        .with_probes_in_flight(7);
    let mut probed = Probed::new(&upstream, builder, probe.clone());
    let awaited = || probe.0.load(Ordering::Relaxed);
    settle().await;
    for _ in 0..20 {
        probed.pick();
        settle().await;
        assert!(awaited() <= 7);
    }
    assert_eq!(awaited(), 7);
    sleep(4 * MS).await;
    assert_eq!(awaited(), 7);
    sleep(2 * MS).await;
    assert_eq!(awaited(), 0);
    // The prober still works.
    probed.pick();
    settle().await;
    assert_eq!(awaited(), 3);
    // And takes its probes with it.
    probed.prober.abort();
    settle().await;
    assert_eq!(awaited(), 0);
}

#[tokio::test(start_paused = true)]
async fn whom_an_answer_is_awaited_of_is_not_asked_again() {
    let upstream = upstream(&[1, 1]);
    let probe = Silent::default();
    let mut probed = Probed::new(&upstream, all(), probe.clone());
    settle().await;
    for _ in 0..100 {
        probed.pick();
        settle().await;
        assert_eq!(probe.0.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_without_requests() {
    let upstream = upstream(&[1; 10]);
    let script = Script::new(&[(0, 1); 10]);
    let mut probed = Probed::new(&upstream, Prequal::builder(), script.clone());
    settle().await;
    advance(10_000 * MS).await;
    settle().await;
    assert_eq!(script.asked().len(), 0);
    for _ in 0..100 {
        probed.pick();
        settle().await;
        assert_eq!(script.asked().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn neither_the_unavailable_nor_the_tried_are_picked() {
    let upstream = upstream(&[1; 5]);
    let script = Script::new(&[(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]);
    let builder = all().with_threshold(1.0).unwrap();
    let mut probed = Probed::filled(&upstream, builder, script.clone()).await;
    // No news from here on: the pool is as it was.
    let attempt = tried(&[0, 2]);
    let context = Context::new().with_attempt(&attempt);
    assert_eq!(number(&probed.balance.pick(&context).unwrap()), 1);
    let sick = Change::new().set_health(id(0), Health::Unhealthy, "test");
    upstream.apply(sick.drain(id(1), "test")).unwrap();
    for _ in 0..100 {
        let attempt = tried(&[3]);
        let context = Context::new().with_attempt(&attempt);
        let picked = number(&probed.balance.pick(&context).unwrap());
        assert!([2, 4].contains(&picked), "{picked}");
    }
    // With one left to choose there is no comparing.
    let attempt = tried(&[2, 3]);
    let context = Context::new().with_attempt(&attempt);
    assert_eq!(number(&probed.balance.pick(&context).unwrap()), 4);
    let attempt = tried(&[2, 3, 4]);
    let context = Context::new().with_attempt(&attempt);
    assert!(probed.balance.pick(&context).is_err());
    // The sick are not asked either.
    settle().await;
    script.asked();
    probed.pick();
    settle().await;
    assert_eq!(
        BTreeSet::from_iter(script.asked()),
        BTreeSet::from([2, 3, 4])
    );
}

#[tokio::test(start_paused = true)]
async fn reports_survive_a_change_of_the_members() {
    let upstream = upstream(&[1; 5]);
    let script = Script::new(&[(0, 50), (0, 40), (0, 30), (0, 1), (0, 20)]);
    let mut probed = Probed::filled(&upstream, all(), script.clone()).await;
    // Without news: those that are left stand elsewhere by now.
    let change = Change::new().remove(id(0)).remove(id(1)).add(spec(5, 1));
    upstream.apply(change).unwrap();
    let _busy = busy(&upstream, 1);
    assert_eq!(probed.pick(), 3);
    // One that returns is another one: what was said of it is void.
    upstream.apply(Change::new().remove(id(3))).unwrap();
    drop(_busy);
    upstream.apply(Change::new().add(spec(3, 1))).unwrap();
    script.fail();
    let picked = probed.pick();
    assert_eq!(picked, 4, "the quickest of whom reports are left");
}

#[tokio::test(start_paused = true)]
async fn weights_are_what_requests_in_flight_are_relative_to() {
    let upstream = upstream(&[4, 2, 1, 1]);
    let meters: [Meter; 4] = std::array::from_fn(|_| Meter::new());
    let ask = Meters(meters.clone().into());
    let builder = all().with_threshold(0.0).unwrap();
    let mut probed = Probed::new(&upstream, builder, ask);
    let mut held = Vec::new();
    let mut got = [0_u32; 4];
    for _ in 0..400 {
        let pick = probed.hold();
        let n = number(&pick);
        got[n] += 1;
        held.push((pick, meters[n].begin()));
        settle().await;
    }
    for (got, expected) in got.into_iter().zip([200, 100, 50, 50]) {
        assert!(got.abs_diff(expected) <= 8, "{got} for {expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn probes_follow_the_weights() {
    let upstream = upstream(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 9]);
    let script = Script::new(&[(0, 1); 10]);
    let builder = Prequal::builder().with_probes(1.0).unwrap();
    let mut probed = Probed::new(&upstream, builder, script.clone());
    for _ in 0..1_000 {
        probed.pick();
        settle().await;
    }
    let asked = script.asked();
    let heavy = asked.iter().filter(|&&n| n == 9).count();
    assert!(asked.len().abs_diff(1_000) <= 1, "{}", asked.len());
    assert!(heavy.abs_diff(500) < 80, "{heavy}");
}

/// Endpoints with meters.
struct Meters(Vec<Meter>);

impl Probe for Meters {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(async {
            let number: usize = endpoint.id().as_str().parse()?;
            Ok(self.0[number].report())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_at_once_is_no_magnet() {
    let upstream = upstream(&[1; 10]);
    let meters: Vec<Meter> = (0..10).map(|_| Meter::new()).collect();
    let ask = Meters(meters.clone());
    let mut probed = Probed::new(&upstream, Prequal::builder(), ask);
    let mut busy = VecDeque::new();
    let mut failed = 0;
    // A minute of two hundred requests a second that take 50 ms, but on 0 fail at once. Its meter
    // makes the worst of it.
    for _ in 0..12_000 {
        advance(5 * MS).await;
        yield_now().await;
        let mut pick = probed.hold();
        let metered = meters[number(&pick)].begin();
        if number(&pick) == 0 {
            pick.answered(Outcome::Failure(Failure::Response));
            metered.answered();
            failed += 1;
        } else {
            busy.push_back((pick, metered));
        }
        if busy.len() > 10 {
            let (mut done, metered) = busy.pop_front().unwrap();
            metered.answered();
            done.answered(Outcome::Success);
            done.set_outcome(Outcome::Success);
        }
    }
    assert!((1..=12).contains(&failed), "{failed} of 12000");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_know_its_latency_is_like_the_others() {
    // 0 says nothing: it counts as the one in the middle.
    let upstream = upstream(&[1; 4]);
    let script = Script::new(&[(0, 0), (0, 10), (0, 20), (0, 30)]);
    let unknown = Report::new(0);
    script.0.lock().unwrap().reports.insert(0, unknown);
    let builder = all().with_threshold(1.0).unwrap();
    let mut probed = Probed::filled(&upstream, builder, script).await;
    assert_eq!(probed.pick(), 1);
    let mut next = [probed.pick(), probed.pick()];
    next.sort_unstable();
    assert_eq!(next, [0, 2]);
    assert_eq!(probed.pick(), 3);
}

#[tokio::test(start_paused = true)]
async fn picks_do_without_a_prober_that_is_gone() {
    let upstream = upstream(&[1, 1]);
    let script = Script::new(&[(0, 1), (5, 50)]);
    let mut probed = Probed::filled(&upstream, all(), script.clone()).await;
    let _busy = busy(&upstream, 0);
    assert_eq!(probed.pick(), 0);
    probed.prober.abort();
    settle().await;
    script.asked();
    for _ in 0..10 {
        assert_eq!(probed.pick(), 1);
        settle().await;
    }
    assert_eq!(script.asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_prober_ends_with_the_balancer() {
    let upstream = upstream(&[1, 1]);
    let script = Script::new(&[(0, 1), (5, 50)]);
    let probed = Probed::filled(&upstream, all(), script).await;
    let clone = probed.balance.clone();
    drop(probed.balance);
    settle().await;
    assert!(!probed.prober.is_finished());
    drop(clone);
    settle().await;
    assert!(probed.prober.is_finished());
    probed.prober.await.unwrap();
    // Whether or not it was ever built into one.
    let (strategy, prober) = Prequal::new(Script::default());
    drop(strategy);
    prober.await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_ends_the_prober_and_nothing_else() {
    struct Panics(AtomicBool);
    impl Probe for Panics {
        fn probe<'a>(&'a self, _: &'a Endpoint) -> ProbeFuture<'a> {
            assert!(self.0.swap(true, Ordering::Relaxed), "as is to happen");
            Box::pin(async { Ok(Report::new(0)) })
        }
    }
    let upstream = upstream(&[1, 1]);
    let probe = Panics(AtomicBool::new(false));
    let mut probed = Probed::filled(&upstream, Prequal::builder(), probe).await;
    assert!(probed.prober.await.unwrap_err().is_panic());
    let pick = probed.balance.pick(&Context::new());
    assert!(pick.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_same_seeds_give_the_same_picks_and_probes() {
    let run = async || {
        let upstream = upstream(&[3, 1, 1, 1, 1, 1, 2, 2, 2]);
        let script = Script::new(&[(2, 5); 9]);
        let mut probed = Probed::new(&upstream, Prequal::builder(), script.clone());
        let mut picks = Vec::new();
        for _ in 0..200 {
            picks.push(probed.pick());
            settle().await;
        }
        (picks, script.asked())
    };
    assert_eq!(run().await, run().await);
}

#[test]
fn settings_that_make_no_sense_are_refused_or_clamped() {
    for quantile in [-0.1, 1.1, f64::NAN] {
        let error = Prequal::builder().with_threshold(quantile).unwrap_err();
        assert!(matches!(error, PrequalError::Threshold { .. }));
        let text = error.to_string();
        assert!(text.contains("threshold") && text.contains(&quantile.to_string()));
    }
    for probes in [0.0, -1.0, 16.5, f64::INFINITY, f64::NAN] {
        let error = Prequal::builder().with_probes(probes).unwrap_err();
        assert!(matches!(error, PrequalError::Probes { .. }));
        let text = error.to_string();
        assert!(text.contains("probes") && text.contains(&probes.to_string()));
    }
    for time in [Duration::ZERO, Duration::MAX] {
        let builder = Prequal::builder()
            .with_timeout(time)
            .with_max_age(time)
            .with_probes_in_flight(if time.is_zero() { 0 } else { usize::MAX });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let upstream = upstream(&[1, 1]);
            let script = Script::new(&[(0, 1), (5, 50)]);
            let mut probed = Probed::filled(&upstream, builder, script).await;
            // One probe at a time brings too few reports to choose among.
            assert!(probed.pick() == 0 || time.is_zero());
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_meter_tells_how_long_it_would_take_now() {
    let meter = Meter::new();
    assert_eq!(meter.report(), Report::new(0));
    // Alone answers take 10 ms, beside others 50 ms.
    for _ in 0..30 {
        let request = meter.begin();
        advance(10 * MS).await;
        request.answered();
    }
    let others: Vec<_> = (0..4).map(|_| meter.begin()).collect();
    for _ in 0..30 {
        let request = meter.begin();
        advance(50 * MS).await;
        request.answered();
    }
    assert_eq!(meter.report(), Report::new(4).with_latency(50 * MS));
    // Those that fail or are left are not in flight, and say nothing of latency.
    drop(others);
    assert_eq!(meter.report(), Report::new(0).with_latency(10 * MS));
    advance(10 * MS).await;
    let clone = meter.clone();
    let _one = clone.begin();
    assert_eq!(meter.report(), Report::new(1).with_latency(10 * MS));
    // What is long ago is not known any more.
    advance(5_001 * MS).await;
    assert_eq!(meter.report(), Report::new(1));
}

#[tokio::test(start_paused = true)]
async fn a_meter_remembers_the_newest_answers() {
    let meter = Meter::new();
    for ms in [1, 9] {
        for _ in 0..128 {
            let request = meter.begin();
            advance(ms * MS).await;
            request.answered();
        }
        assert_eq!(meter.report(), Report::new(0).with_latency(ms * MS));
    }
}
