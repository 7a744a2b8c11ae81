//! What is sent again, what is not, and what the caller is told.

#![expect(clippy::unwrap_used, reason = "a test may fail where its set-up fails")]

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use http::Request;
use tightrope_retry::{Retry, RetryLayer, attempt};
use tightrope_upstream::{
    Attempt, Change, Endpoint, EndpointId, EndpointSpec, Failed, Failure, TakeUnsent, Unsent,
    Upstream,
};
use tower::{Layer, Service, ServiceExt};

#[derive(Debug)]
struct ScriptedError {
    failure: Failure,
    unsent: Option<Unsent<Request<String>>>,
}

impl Failed for ScriptedError {
    fn failure(&self) -> Failure {
        self.failure
    }
}

impl TakeUnsent<Request<String>> for ScriptedError {
    fn take_unsent(&mut self) -> Option<Unsent<Request<String>>> {
        self.unsent.take()
    }
}

/// What each call does in turn, and what each saw.
#[derive(Clone)]
struct Scripted {
    endpoints: Arc<[Arc<Endpoint>]>,
    script: Arc<Mutex<VecDeque<Step>>>,
    seen: Arc<Mutex<Vec<(String, Attempt)>>>,
    ready: bool,
}

#[derive(Clone, Copy)]
enum Step {
    Answer,
    /// The request comes back: the connection to this endpoint could not be made.
    Refuse(usize),
    /// The request is lost.
    Lose(Failure),
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Step>) -> Self {
        let upstream = Upstream::new("test");
        let members = (1..=3).map(|n| EndpointSpec::new(format!("10.0.0.{n}:80").parse().unwrap()));
        upstream.apply(Change::new().replace(members)).unwrap();
        Self {
            endpoints: upstream.snapshot().members().into(),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            seen: Arc::default(),
            ready: false,
        }
    }

    fn seen(&self) -> Vec<(String, usize)> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|(body, attempt)| (body.clone(), attempt.number()))
            .collect()
    }
}

impl Service<Request<String>> for Scripted {
    type Response = &'static str;
    type Error = ScriptedError;
    type Future = Ready<Result<&'static str, ScriptedError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ScriptedError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called before it was ready"
        );
        let attempt = attempt(&request).clone();
        self.seen
            .lock()
            .unwrap()
            .push((request.body().clone(), attempt));
        let step = self.script.lock().unwrap().pop_front().unwrap();
        ready(match step {
            Step::Answer => Ok("answer"),
            Step::Refuse(endpoint) => Err(ScriptedError {
                failure: Failure::Connect,
                unsent: Some(Unsent::new(request, Arc::clone(&self.endpoints[endpoint]))),
            }),
            Step::Lose(failure) => Err(ScriptedError {
                failure,
                unsent: None,
            }),
        })
    }
}

async fn send(service: &Scripted, attempts: usize) -> Result<&'static str, Failure> {
    let retry = RetryLayer::new().with_attempts(attempts);
    let request = Request::new("body".to_owned());
    let response = retry.layer(service.clone()).oneshot(request).await;
    response.map_err(|error| error.failure())
}

#[tokio::test]
async fn a_request_that_was_never_sent_goes_elsewhere_with_its_body() {
    let service = Scripted::new([Step::Refuse(2), Step::Refuse(0), Step::Answer]);
    assert_eq!(send(&service, 3).await, Ok("answer"));
    let body = || "body".to_owned();
    assert_eq!(service.seen(), [(body(), 1), (body(), 2), (body(), 3)]);
    let seen = service.seen.lock().unwrap();
    let tried: Vec<&str> = seen[2].1.tried().iter().map(EndpointId::as_str).collect();
    assert_eq!(tried, ["10.0.0.3:80", "10.0.0.1:80"]);
}

#[tokio::test]
async fn a_request_that_may_have_been_sent_is_not_sent_again() {
    let service = Scripted::new([Step::Lose(Failure::Reset), Step::Answer]);
    assert_eq!(send(&service, 3).await, Err(Failure::Reset));
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn attempts_are_bounded() {
    for (attempts, calls) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
        let service = Scripted::new([Step::Refuse(0); 6]);
        assert_eq!(send(&service, attempts).await, Err(Failure::Connect));
        assert_eq!(service.seen().len(), calls, "{attempts} attempts");
    }
}

#[tokio::test]
async fn nobody_left_to_try_reports_what_went_wrong_before() {
    let service = Scripted::new([Step::Refuse(0), Step::Lose(Failure::Unavailable)]);
    assert_eq!(send(&service, 3).await, Err(Failure::Connect));

    let service = Scripted::new([Step::Lose(Failure::Unavailable)]);
    assert_eq!(send(&service, 3).await, Err(Failure::Unavailable));
}

#[tokio::test]
async fn an_attempt_left_in_the_request_is_not_believed() {
    let service = Scripted::new([Step::Answer]);
    let mut request = Request::new("body".to_owned());
    let forged = Attempt::first().next(EndpointId::new("10.0.0.1:80").unwrap());
    request.extensions_mut().insert(forged);
    let answer = Retry::new(service.clone()).oneshot(request).await;
    assert_eq!(answer.unwrap(), "answer");
    assert_eq!(service.seen()[0].1, 1);
}
