//! Attempts that are over when their response body is.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(feature = "http-body")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    pin::pin,
    sync::Arc,
    task::{Context as Task, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tightrope_balance::{
    Balance, RoundRobin,
    in_flight::{HeldBody, PerEndpoint},
};
use tightrope_upstream::{Change, Classify, Endpoint, Failure, Outcome, Upstream};
use tower::{Service, service_fn};

use crate::support::{id, in_flight, upstream};

type Frames = Vec<Result<http_body::Frame<Bytes>, io::Error>>;
type Stream = StreamBody<
    futures_util::stream::Iter<std::vec::IntoIter<Result<http_body::Frame<Bytes>, io::Error>>>,
>;

/// What the endpoint answers.
#[derive(Clone)]
struct ServerErrors;

impl<B, E> Classify<Response<B>, E> for ServerErrors {
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result {
            Ok(response) if response.status().is_server_error() => {
                Outcome::Failure(Failure::Response)
            }
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure(Failure::Reset),
        }
    }
}

/// The response of a balanced service that answers with this.
async fn answered<B>(
    upstream: &Upstream,
    answer: impl Fn() -> Response<B> + Clone + Send + Sync + 'static,
) -> Response<HeldBody<B>>
where
    B: http_body::Body + 'static,
{
    let make = move |_: &Arc<Endpoint>| {
        let answer = answer.clone();
        service_fn(move |(): ()| -> Ready<Result<Response<B>, Infallible>> { ready(Ok(answer())) })
    };
    let channels = PerEndpoint::new(upstream, make)
        .with_classify(ServerErrors)
        .until_body_end();
    let mut balance = Balance::new(upstream, RoundRobin::new(), channels);
    balance.call(()).await.unwrap()
}

fn frames(frames: impl Fn() -> Frames) -> Stream {
    StreamBody::new(futures_util::stream::iter(frames()))
}

fn data(text: &'static str) -> Result<http_body::Frame<Bytes>, io::Error> {
    Ok(http_body::Frame::data(Bytes::from_static(text.as_bytes())))
}

/// Succeeded, failed, cancelled.
fn totals(upstream: &Upstream) -> [u64; 3] {
    let totals = upstream.snapshot().members()[0].record().totals();
    [totals.succeeded, totals.failed, totals.cancelled]
}

#[tokio::test]
async fn an_attempt_is_in_flight_until_its_body_ends() {
    let upstream = upstream(&[1]);
    let response = answered(&upstream, || {
        Response::new(frames(|| vec![data("one"), data("two")]))
    });
    let mut body = response.await.into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "one"
    );
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "two"
    );
    assert_eq!(in_flight(&upstream), 1);
    assert!(body.frame().await.is_none());
    assert_eq!(in_flight(&upstream), 0);
    drop(body);
    assert_eq!(totals(&upstream), [1, 0, 0]);
}

#[tokio::test]
async fn a_body_that_says_it_is_at_its_end_is_not_waited_for() {
    let upstream = upstream(&[1]);
    let full = answered(&upstream, || {
        Response::new(Full::new(Bytes::from_static(b"all")))
    });
    let mut full = full.await.into_body();
    assert_eq!(http_body::Body::size_hint(&full).exact(), Some(3));
    assert_eq!(in_flight(&upstream), 1);
    let _all = full.frame().await.unwrap().unwrap();
    assert_eq!(in_flight(&upstream), 0);

    let empty = answered(&upstream, || Response::new(Empty::<Bytes>::new())).await;
    assert_eq!(in_flight(&upstream), 0);
    drop(empty);
    assert_eq!(totals(&upstream), [2, 0, 0]);
}

#[tokio::test]
async fn a_body_that_is_dropped_gives_the_place_back() {
    let upstream = upstream(&[1]);
    let response = answered(&upstream, || Response::new(frames(|| vec![data("one")]))).await;
    assert_eq!(in_flight(&upstream), 1);
    drop(response);
    assert_eq!(in_flight(&upstream), 0);
    assert_eq!(totals(&upstream), [0, 0, 1]);
}

#[tokio::test]
async fn a_body_that_fails_is_a_failure() {
    let upstream = upstream(&[1]);
    let response = answered(&upstream, || {
        Response::new(frames(|| vec![data("one"), Err(io::Error::other("cut"))]))
    });
    let mut body = response.await.into_body();
    let _one = body.frame().await.unwrap().unwrap();
    assert!(body.frame().await.unwrap().is_err());
    assert_eq!(in_flight(&upstream), 0);
    assert_eq!(totals(&upstream), [0, 1, 0]);
}

#[tokio::test]
async fn a_failure_response_is_one_even_if_its_body_is_dropped() {
    let upstream = upstream(&[1]);
    let broken = || {
        let mut response = Response::new(frames(|| vec![data("sorry")]));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    };
    drop(answered(&upstream, broken).await);
    let body = answered(&upstream, broken).await.into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "sorry");
    assert_eq!(totals(&upstream), [0, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_body() {
    let upstream = upstream(&[1]);
    let response = answered(&upstream, || Response::new(frames(|| vec![data("one")]))).await;
    let update = upstream.apply(Change::new().drain(id(0), "test")).unwrap();
    let mut drained = pin!(update.drained(Duration::from_secs(60)));
    let mut task = Task::from_waker(Waker::noop());
    assert!(drained.as_mut().poll(&mut task).is_pending());
    let _all = response.into_body().collect().await.unwrap();
    assert!(drained.await.is_complete());
}
