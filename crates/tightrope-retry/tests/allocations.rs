//! What a request costs that is not sent again.

use std::{
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{Method, Request, Response};
use tightrope_retry::{Deadlines, RetryLayer};
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

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}

fn allocations(layer: &RetryLayer, method: Method, body: &str) -> u64 {
    let mut retry = layer.layer(Nothing);
    let builder = Request::builder().method(method).header("host", "app.test");
    let request = builder.body(body.to_owned()).expect("a request");
    let counted = allocation_counter::measure(|| {
        let mut task = Context::from_waker(Waker::noop());
        assert!(matches!(
            Service::<Request<String>>::poll_ready(&mut retry, &mut task),
            Poll::Ready(Ok(()))
        ));
        let answer = pin!(retry.call(request)).poll(&mut task);
        assert!(matches!(answer, Poll::Ready(Ok(_))));
    });
    counted.count_total
}

#[test]
fn a_request_that_cannot_be_sent_twice_allocates_nothing() {
    let layer = RetryLayer::new();
    let once = layer.clone().with_attempts(1);
    let heeding = layer
        .clone()
        .with_deadlines(Deadlines::new().with_grpc_timeout());
    for (layer, method, body) in [
        (&once, Method::GET, ""),
        (&once, Method::PUT, "body"),
        (&layer, Method::POST, ""),
        (&layer, Method::POST, "body"),
        // Nor where deadlines are heeded and it has none. There is no runtime either, so no timer.
        (&heeding, Method::POST, "body"),
        (&layer.clone().with_body_limit(3), Method::PUT, "body"),
    ] {
        assert_eq!(allocations(layer, method.clone(), body), 0, "{method}");
    }
}

/// The head and its fields; the attempt, its place in a request without other extensions, and where it goes; the body.
#[test]
fn one_that_can_be_copies_its_head_and_a_little_more() {
    let layer = RetryLayer::new();
    let counts = [("", Method::GET), ("body", Method::PUT)]
        .map(|(body, method)| allocations(&layer, method, body));
    assert!(counts[0] <= 8 && counts[1] <= 9, "{counts:?}");
}

/// The attempt, its place in a request without other extensions, and where it goes.
#[test]
fn one_whose_head_comes_back_copies_nothing() {
    let layer = RetryLayer::new().with_returned_heads();
    let count = allocations(&layer, Method::GET, "");
    assert!(count <= 4, "{count}");
}
