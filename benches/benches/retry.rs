//! What `Retry` adds to a request whose first attempt is good, around a service that answers at once.
//!
//! `once` may not be sent again and is moved through; `repeatable` has its head copied. `_in_time` has a
//! limit for the request, which is told to the endpoint in a field.
//! `cargo bench -p tightrope-benches --bench retry`

use std::{
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderName, Method, Request, Response};
use tightrope_retry::{Deadlines, Hedge, Retry, RetryLayer};
use tightrope_upstream::{Failed, Failure, TakeUnsent, Unsent};
use tower::{Layer, Service};

/// Answers at once.
#[derive(Clone)]
struct Nothing;

#[derive(Debug)]
struct Never;

impl Failed for Never {
    fn failure(&self) -> Failure {
        Failure::Local
    }
}

impl<R> TakeUnsent<R> for Never {
    fn take_unsent(&mut self) -> Option<Unsent<R>> {
        None
    }
}

impl<B> Service<Request<B>> for Nothing {
    type Response = Response<()>;
    type Error = Never;
    type Future = Ready<Result<Response<()>, Never>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Never>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(Response::new(())))
    }
}

/// A head as browsers send it.
fn request(method: Method) -> Request<String> {
    Request::builder()
        .method(method)
        .uri("/catalogue/item?id=42")
        .header("host", "shop.example")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")
        .header("accept", "text/html,application/xhtml+xml")
        .header("accept-language", "en")
        .header("accept-encoding", "gzip, br")
        .header("cookie", "session=0123456789abcdef")
        .header("x-forwarded-for", "192.0.2.1")
        .header("x-forwarded-proto", "https")
        .body(String::new())
        .expect("a request")
}

/// Waits for the service to be ready, calls it, and waits for the answer.
fn call<S: Service<Request<String>>>(service: &mut S, request: Request<String>) {
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut context) else {
        unreachable!("it is always ready");
    };
    let response = pin!(service.call(request));
    let Poll::Ready(Ok(answer)) = response.poll(&mut context) else {
        unreachable!("it answers at once");
    };
    drop(black_box(answer));
}

fn first_attempt(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _in_runtime = runtime.enter();
    let mut group = criterion.benchmark_group("retry/first_attempt");
    let bench = |retry: Retry<Nothing>, method: Method| {
        let template = request(method);
        move |bencher: &mut criterion::Bencher<'_>| {
            let mut retry = retry.clone();
            bencher.iter_batched(
                || template.clone(),
                |request| call(&mut retry, request),
                criterion::BatchSize::SmallInput,
            );
        }
    };
    let template = request(Method::GET);
    group.bench_function("without", |bencher| {
        bencher.iter_batched(
            || template.clone(),
            |request| call(&mut Nothing, request),
            criterion::BatchSize::SmallInput,
        );
    });
    let layer = RetryLayer::new();
    let one = layer.clone().with_attempts(1).layer(Nothing);
    group.bench_function("one_attempt", bench(one, Method::GET));
    group.bench_function("once", bench(layer.layer(Nothing), Method::POST));
    group.bench_function("repeatable", bench(layer.layer(Nothing), Method::GET));
    let unpaid = layer.clone().with_budget(None).layer(Nothing);
    group.bench_function("repeatable_without_budget", bench(unpaid, Method::GET));
    let name = HeaderName::from_static("x-left-ms");
    let deadlines = Deadlines::new().with_milliseconds(name).expect("a field");
    let in_time = layer.clone().with_timeout(Duration::from_secs(1));
    let in_time = in_time.with_deadlines(deadlines);
    let once = in_time.layer(Nothing);
    group.bench_function("once_in_time", bench(once.clone(), Method::POST));
    group.bench_function("repeatable_in_time", bench(once, Method::GET));
    let hedged = layer.with_hedge(Hedge::after(Duration::from_secs(1)));
    group.bench_function("hedged", bench(hedged.layer(Nothing), Method::GET));
    group.finish();
}

criterion_group!(benches, first_attempt);
criterion_main!(benches);
