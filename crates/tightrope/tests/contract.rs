//! Every service keeps the rules that callers of tower's rely on.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use http::{Request, Response};
use http_body_util::Empty;
use tightrope::{
    balance::{Balance, BalanceError, Context, RoundRobin},
    forwarded::{ForwardedLayer, Trust},
    health::{HealthCheck, ObserveLayer, TcpProbe},
    proxy::rewrite::{
        AnswerBody, BodyLimitLayer, HeaderRules, HeadersLayer, HttpsLayer, PrefixLayer,
    },
    retry::{Replay, Retry, RetryError, attempt},
    upstream::{Change, Classify, EndpointSpec, Failed, Outcome, Picked, Record, Upstream},
};
use tightrope_test::contract::{self, Probe, ProbeError};
use tower::{Layer, util::MapResponse};

type Answer = Response<Empty<bytes::Bytes>>;

fn request() -> Request<()> {
    Request::new(())
}

fn upstream() -> (Upstream, Arc<Record>) {
    let upstream = Upstream::new("app");
    let spec = EndpointSpec::new("192.0.2.1:80".parse().unwrap());
    upstream.apply(Change::new().add(spec)).unwrap();
    let record = Arc::clone(upstream.snapshot().members()[0].record());
    (upstream, record)
}

/// Runs every check against the service that `$build` makes of a probe.
macro_rules! keeps_the_contract {
    ($build:expr, $request:expr, $inner:expr) => {
        contract::readiness_comes_before_call($build, $request).await;
        contract::clones_are_independent($build, $request).await;
        contract::errors_pass_through($build, $request, $inner).await;
    };
}

#[tokio::test]
async fn balance() {
    let (upstream, record) = upstream();
    let build = |probe| Balance::new(&upstream, RoundRobin::new(), probe);
    let inner = |error| match error {
        BalanceError::Inner(error) => Some(error),
        _ => None,
    };
    keeps_the_contract!(build, request, inner);
    contract::dropping_the_future_gives_back_the_pick(build, request, &record).await;
}

#[tokio::test]
async fn retry_over_balance() {
    let (upstream, record) = upstream();
    let build = |probe| {
        let balance = Balance::new(&upstream, RoundRobin::new(), probe);
        Retry::new(balance.with_context(|request: &Request<Replay<String>>| {
            Context::new().with_attempt(attempt(request))
        }))
    };
    let inner = |error| match error {
        RetryError::Inner(BalanceError::Inner(error)) => Some(error),
        _ => None,
    };
    let request = || Request::new(String::new());
    keeps_the_contract!(build, request, inner);
    contract::dropping_the_future_gives_back_the_pick(build, request, &record).await;
}

#[tokio::test]
async fn forwarded() {
    let build = |probe| ForwardedLayer::new(Trust::nobody()).layer(probe);
    keeps_the_contract!(build, request, Some);
}

#[derive(Clone)]
struct AsItIs;

impl Classify<Answer, ProbeError> for AsItIs {
    fn classify(&self, result: Result<&Answer, &ProbeError>) -> Outcome {
        result.map_or_else(
            |error| Outcome::Failure(error.failure()),
            |_| Outcome::Success,
        )
    }
}

#[tokio::test(start_paused = true)]
async fn observe() {
    let (upstream, record) = upstream();
    let health = HealthCheck::new(&upstream, TcpProbe::new()).spawn();
    let build = |probe| ObserveLayer::new(health.live_reports(), AsItIs).layer(probe);
    let endpoint = Arc::clone(&upstream.snapshot().members()[0]);
    let picked = || Picked::new(request(), endpoint.pick().unwrap());
    keeps_the_contract!(build, picked, Some);
    contract::dropping_the_future_gives_back_the_pick(build, picked, &record).await;
}

/// A probe whose body could be an answer of a layer's own as well.
fn answering(
    probe: Probe,
) -> MapResponse<Probe, fn(Answer) -> Response<AnswerBody<Empty<bytes::Bytes>>>> {
    MapResponse::new(probe, |answer: Answer| answer.map(AnswerBody::inner))
}

#[tokio::test]
async fn rewriting() {
    let (upstream, record) = upstream();
    let endpoint = Arc::clone(&upstream.snapshot().members()[0]);
    let picked = || Picked::new(request(), endpoint.pick().unwrap());
    let rules = HeaderRules::new()
        .set("x-path", "{path}{endpoint}")
        .unwrap();
    let headers = HeadersLayer::new()
        .with_request(rules.clone())
        .with_response(rules);
    let build = |probe| headers.layer(probe);
    keeps_the_contract!(build, request, Some);
    keeps_the_contract!(build, picked, Some);
    contract::dropping_the_future_gives_back_the_pick(build, picked, &record).await;

    let prefix = PrefixLayer::new().with_added("/v2".parse().unwrap());
    let build = |probe| prefix.layer(answering(probe));
    keeps_the_contract!(build, request, Some);
    let build = |probe| HttpsLayer::new().layer(answering(probe));
    keeps_the_contract!(build, request, Some);
    let body = || Request::new("12345".to_owned());
    let build = |probe| BodyLimitLayer::new(5).layer(answering(probe));
    keeps_the_contract!(build, body, Some);
}
