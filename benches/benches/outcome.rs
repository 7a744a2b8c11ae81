//! An attempt from its pick to the end of it, with and without somebody who listens how it ends.
//!
//! Groups are `outcome/<who listens>/<endpoints>`, and `outcome/two_threads/<who listens>/<endpoints>`
//! where two threads try the same endpoints. `cargo bench -p tightrope-benches --bench outcome`

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tightrope_benches::{
    outcome::{Attempts, LISTENERS},
    together,
};

fn alone(criterion: &mut Criterion) {
    for (name, listeners) in LISTENERS {
        let mut group = criterion.benchmark_group(format!("outcome/{name}"));
        for endpoints in [1, 100, 10_000] {
            let attempts = Attempts::new(listeners, endpoints);
            let mut attempt = attempts.caller();
            group.bench_function(BenchmarkId::from_parameter(endpoints), |bencher| {
                bencher.iter(&mut attempt);
            });
        }
        group.finish();
    }
}

fn shared(criterion: &mut Criterion) {
    for (name, listeners) in LISTENERS {
        let mut group = criterion.benchmark_group(format!("outcome/two_threads/{name}"));
        for endpoints in [1, 100, 10_000] {
            let attempts = Attempts::new(listeners, endpoints);
            group.bench_function(BenchmarkId::from_parameter(endpoints), |bencher| {
                bencher.iter_custom(|calls| together(calls, || attempts.caller()));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, alone, shared);
criterion_main!(benches);
