//! One pick and its end, for each strategy and number of endpoints.
//!
//! `cargo bench -p tightrope-benches --bench pick`

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tightrope_balance::Balance;
use tightrope_benches::{STRATEGIES, context, upstream};

fn pick(criterion: &mut Criterion) {
    for (name, make) in STRATEGIES {
        let mut group = criterion.benchmark_group(format!("pick/{name}"));
        for endpoints in [2, 10, 100, 1_000, 10_000] {
            let upstream = upstream(endpoints);
            let mut balance = Balance::new(&upstream, make(), ()).with_seed(1);
            let mut n = 0_u32;
            group.bench_function(BenchmarkId::from_parameter(endpoints), |bencher| {
                bencher.iter(|| {
                    n = n.wrapping_add(1);
                    let mut key = [0; 8];
                    drop(black_box(balance.pick(&context(n, &mut key)).unwrap()));
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, pick);
criterion_main!(benches);
