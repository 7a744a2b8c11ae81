//! Publishing a change, with and without a balancer that follows it.
//!
//! Groups are `snapshot_swap/<change>/<strategy>`; the strategy `none` stands for an upstream
//! that nobody follows. `cargo bench -p tightrope-benches --bench snapshot_swap`

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use tightrope_balance::Balance;
use tightrope_benches::{STRATEGIES, spec, upstream};
use tightrope_upstream::{Change, EndpointSpec, Health, Upstream, Weight};

const ENDPOINTS: [u32; 3] = [10, 1_000, 10_000];

/// Who follows the upstream meanwhile; freed when dropped.
type Follow = Box<dyn Fn(&Upstream) -> Option<Balance<()>>>;

fn followers() -> Vec<(&'static str, Follow)> {
    let nobody: Follow = Box::new(|_| None);
    let balancers = STRATEGIES.map(|(name, make)| {
        let follow: Follow = Box::new(move |upstream| Some(Balance::new(upstream, make(), ())));
        (name, follow)
    });
    std::iter::once(("none", nobody)).chain(balancers).collect()
}

/// Changes of one endpoint in the middle: each time `changes` says which, by its number.
fn one_of_many(criterion: &mut Criterion, what: &str, changes: fn(EndpointSpec, u32) -> Change) {
    for (name, follow) in followers() {
        let mut group = criterion.benchmark_group(format!("snapshot_swap/{what}/{name}"));
        group.sampling_mode(SamplingMode::Flat);
        for endpoints in ENDPOINTS {
            let upstream = upstream(endpoints);
            let _balance = follow(&upstream);
            let mut n = 0;
            group.bench_function(BenchmarkId::from_parameter(endpoints), |bencher| {
                bencher.iter_batched(
                    || {
                        n += 1;
                        changes(spec(endpoints / 2), n)
                    },
                    |change| upstream.apply(change).unwrap(),
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

fn weight(criterion: &mut Criterion) {
    one_of_many(criterion, "weight", |member, n| {
        Change::new().set_weight(member.id, Weight::new(n % 2 + 5).unwrap())
    });
}

fn health(criterion: &mut Criterion) {
    one_of_many(criterion, "health", |member, n| {
        let health = match n % 2 {
            0 => Health::Healthy,
            _ => Health::Unhealthy,
        };
        Change::new().set_health(member.id, health, "bench")
    });
}

/// Every endpoint is replaced by another one.
fn replace(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("snapshot_swap/replace/none");
    group.sampling_mode(SamplingMode::Flat);
    for endpoints in ENDPOINTS {
        let upstream = upstream(endpoints);
        let mut n = 0;
        group.bench_function(BenchmarkId::from_parameter(endpoints), |bencher| {
            bencher.iter_batched(
                || {
                    n += 1;
                    let first = n % 2 * endpoints;
                    Change::new().replace((first..first + endpoints).map(spec))
                },
                |change| upstream.apply(change).unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, weight, health, replace);
criterion_main!(benches);
