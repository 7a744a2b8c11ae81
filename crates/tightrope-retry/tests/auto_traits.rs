//! Which public types can be sent, shared and moved.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tightrope_retry::{
    Backoff, BackoffError, Budget, BudgetError, Condition, ConditionError, DeadlineError,
    Deadlines, GrpcTimeout, GrpcTimeoutError, Hedge, HedgeError, Replay, Retry, RetryError,
    RetryLayer, RetryOn,
};
use tower::Service;

use crate::world::{World, answer};

#[test]
fn public_types_are_send_sync_and_unpin() {
    fn all<T: Send + Sync + Unpin>() {}
    all::<Retry<()>>();
    all::<RetryLayer>();
    all::<RetryOn>();
    all::<Condition>();
    all::<ConditionError>();
    all::<Backoff>();
    all::<BackoffError>();
    all::<DeadlineError>();
    all::<Deadlines>();
    all::<GrpcTimeout>();
    all::<GrpcTimeoutError>();
    all::<RetryError<String>>();
    all::<Hedge>();
    all::<HedgeError>();
    all::<Budget>();
    all::<BudgetError>();
    all::<Replay<Full<Bytes>>>();
}

#[tokio::test]
async fn the_future_is_send_where_its_parts_are() {
    fn send<T: Send>(_: T) {}
    let world = World::new([answer(200)]);
    let mut retry = Retry::new(world);
    let ready =
        std::future::poll_fn(|task| Service::<Request<String>>::poll_ready(&mut retry, task));
    assert!(ready.await.is_ok());
    send(retry.call(Request::new(String::new())));
}
