//! A whole call through `Balance` around a service that does nothing, beside tower's balancer.
//!
//! Both take the less loaded of two and count what is in flight. tower's is for one task at a time:
//! where threads share it, it stands behind a mutex here (its users put it behind a buffer, which
//! costs more). `cargo bench -p tightrope-benches --bench balance_call`

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tightrope_balance::{Balance, LeastRequest};
use tightrope_benches::{together, upstream};
use tightrope_upstream::{Pick, Picked};
use tower::{
    Service,
    balance::p2c,
    discover::ServiceList,
    load::{CompleteOnResponse, PendingRequestsDiscover},
};

const ENDPOINTS: [u32; 2] = [10, 100];

/// Answers at once: with the pick where there is one, so that it lasts until the answer is used.
#[derive(Clone)]
struct Nothing;

impl Service<Picked<()>> for Nothing {
    type Response = Pick;
    type Error = Infallible;
    type Future = Ready<Result<Pick, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, picked: Picked<()>) -> Self::Future {
        ready(Ok(picked.into_parts().1))
    }
}

impl Service<()> for Nothing {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

/// Waits for the service to be ready, calls it, and waits for the answer.
fn call<S: Service<()>>(service: &mut S) {
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut context) else {
        unreachable!("it is always ready");
    };
    let response = pin!(service.call(()));
    let Poll::Ready(Ok(answer)) = response.poll(&mut context) else {
        unreachable!("it answers at once");
    };
    drop(black_box(answer));
}

fn tightrope(endpoints: u32) -> Balance<Nothing> {
    Balance::new(&upstream(endpoints), LeastRequest::new(), Nothing).with_seed(1)
}

fn tower(endpoints: u32) -> impl Service<()> + Send {
    let services = ServiceList::new::<()>((0..endpoints).map(|_| Nothing).collect::<Vec<_>>());
    let loaded = PendingRequestsDiscover::new::<()>(services, CompleteOnResponse::default());
    p2c::Balance::new(loaded)
}

fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("balance_call/one_thread");
    for endpoints in ENDPOINTS {
        let mut balance = tightrope(endpoints);
        group.bench_function(BenchmarkId::new("tightrope", endpoints), |bencher| {
            bencher.iter(|| call(&mut balance));
        });
        let mut balance = tower(endpoints);
        group.bench_function(BenchmarkId::new("tower_p2c", endpoints), |bencher| {
            bencher.iter(|| call(&mut balance));
        });
    }
    group.finish();
}

fn shared(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("balance_call/two_threads");
    for endpoints in ENDPOINTS {
        let balance = tightrope(endpoints);
        group.bench_function(BenchmarkId::new("tightrope", endpoints), |bencher| {
            bencher.iter_custom(|calls| {
                together(calls, || {
                    let mut balance = balance.clone();
                    Box::new(move || call(&mut balance))
                })
            });
        });
        let balance = Arc::new(Mutex::new(tower(endpoints)));
        group.bench_function(BenchmarkId::new("tower_p2c_mutex", endpoints), |bencher| {
            bencher.iter_custom(|calls| {
                together(calls, || {
                    let balance = Arc::clone(&balance);
                    Box::new(move || {
                        call(&mut *balance.lock().unwrap_or_else(PoisonError::into_inner));
                    })
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, alone, shared);
criterion_main!(benches);
