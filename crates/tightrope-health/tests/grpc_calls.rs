//! How gRPC calls of live traffic end.
#![cfg(feature = "grpc")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tightrope_health::{
    Listen, Listening,
    observe::grpc::{CallEnd, GrpcClassify, GrpcObserveLayer},
};
use tightrope_upstream::{
    Change, Classify, Endpoint, EndpointSpec, Failed, Failure, Outcome, Picked, Upstream,
};
use tower::{Layer, ServiceExt, service_fn};

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Outcome>>>);

struct One(Told);

impl Listen for Told {
    type Listening = One;

    fn begin(&self, _: &Arc<Endpoint>) -> One {
        One(self.clone())
    }
}

impl Listening for One {
    fn end(self, outcome: Outcome) {
        self.0.0.lock().unwrap().push(outcome);
    }
}

impl Told {
    fn outcomes(&self) -> Vec<Outcome> {
        self.0.lock().unwrap().clone()
    }
}

/// An error that says what it is.
#[derive(Debug)]
struct Broken(Failure);

impl Failed for Broken {
    fn failure(&self) -> Failure {
        self.0
    }
}

/// A body that brings these, one after the other.
struct Script(VecDeque<Result<Frame<Bytes>, Broken>>);

impl Body for Script {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(self.0.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

fn picked() -> Picked<()> {
    let upstream = Upstream::new("calls");
    let spec = EndpointSpec::new("10.0.0.1:80".parse().unwrap());
    upstream.apply(Change::new().add(spec)).unwrap();
    Picked::new((), upstream.snapshot().members()[0].pick().unwrap())
}

fn status(code: &str) -> HeaderMap {
    HeaderMap::from_iter([(
        "grpc-status".parse().unwrap(),
        HeaderValue::from_str(code).unwrap(),
    )])
}

fn message() -> Frame<Bytes> {
    Frame::data(Bytes::from_static(b"\0\0\0\0\0"))
}

/// A response like this, observed; and who is told of it.
async fn observed<C>(
    (http, head): (u16, HeaderMap),
    frames: impl IntoIterator<Item = Result<Frame<Bytes>, Broken>>,
    classify: C,
) -> (
    Told,
    Response<impl Body<Data = Bytes, Error = Broken> + Unpin>,
)
where
    C: Classify<CallEnd, Broken> + Clone + Unpin,
{
    let told = Told::default();
    let mut response = Response::new(Script(frames.into_iter().collect()));
    *response.status_mut() = http.try_into().unwrap();
    *response.headers_mut() = head;
    let response = Mutex::new(Some(response));
    let inner = service_fn(|_: Picked<()>| {
        let response = response.lock().unwrap().take().unwrap();
        async { Ok::<_, Broken>(response) }
    });
    let layer = GrpcObserveLayer::new(told.clone()).with_classify(classify);
    let response = layer.layer(inner).oneshot(picked()).await.unwrap();
    (told, response)
}

/// What is told of a call that has this status in its trailers.
async fn ended(grpc: &str) -> Outcome {
    let frames = [
        Ok(message()),
        Ok(message()),
        Ok(Frame::trailers(status(grpc))),
    ];
    let (told, mut response) = observed((200, HeaderMap::new()), frames, GrpcClassify).await;
    let body = response.body_mut();
    for _ in 0..2 {
        assert!(body.frame().await.unwrap().unwrap().is_data());
        assert_eq!(told.outcomes(), [], "it is not over");
    }
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    assert!(body.frame().await.is_none());
    let [outcome] = told.outcomes()[..] else {
        panic!("told of {:?}", told.outcomes())
    };
    outcome
}

#[tokio::test]
async fn a_call_ends_as_its_trailers_say() {
    for grpc in 0..=20 {
        let expected = match grpc {
            14 => Outcome::Failure(Failure::Gateway),
            2 | 4 | 13 | 15 => Outcome::Failure(Failure::Response),
            _ => Outcome::Success,
        };
        assert_eq!(ended(&grpc.to_string()).await, expected, "{grpc}");
    }
    let nonsense = Outcome::Failure(Failure::Protocol);
    assert_eq!(ended("fine").await, nonsense);
}

#[tokio::test]
async fn a_call_that_failed_at_once_says_so_in_its_head() {
    let (told, response) = observed((200, status("14")), [], GrpcClassify).await;
    assert_eq!(told.outcomes(), [Outcome::Failure(Failure::Gateway)]);
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn what_is_no_grpc_counts_by_its_status() {
    for (http, expected) in [
        (503, Outcome::Failure(Failure::Gateway)),
        (500, Outcome::Failure(Failure::Response)),
        (404, Outcome::Success),
    ] {
        let (told, _) = observed((http, HeaderMap::new()), [Ok(message())], GrpcClassify).await;
        assert_eq!(told.outcomes(), [expected], "{http}");
    }
}

#[tokio::test]
async fn a_call_without_a_status_and_one_that_breaks_off_are_failures() {
    for (frames, expected) in [
        (vec![Ok(message())], Failure::Protocol),
        (vec![], Failure::Protocol),
        (
            vec![Ok(message()), Ok(Frame::trailers(HeaderMap::new()))],
            Failure::Protocol,
        ),
        (
            vec![Ok(message()), Err(Broken(Failure::Local))],
            Failure::Reset,
        ),
    ] {
        let (told, mut response) = observed((200, HeaderMap::new()), frames, GrpcClassify).await;
        assert!(
            !response.body().is_end_stream(),
            "its end is to be asked for"
        );
        while response.body_mut().frame().await.is_some() {}
        assert_eq!(told.outcomes(), [Outcome::Failure(expected)]);
    }
}

#[tokio::test]
async fn of_a_call_that_is_given_up_nothing_is_told() {
    let frames = [Ok(message()), Ok(Frame::trailers(status("13")))];
    let (told, mut response) = observed((200, HeaderMap::new()), frames, GrpcClassify).await;
    assert!(response.body_mut().frame().await.is_some());
    drop(response);
    assert_eq!(told.outcomes(), []);
}

#[tokio::test]
async fn without_a_response_the_error_says_whose_fault_it_is() {
    for (failure, expected) in [
        (Failure::Connect, Outcome::Failure(Failure::Connect)),
        (Failure::Downstream, Outcome::Cancelled),
        (Failure::Unavailable, Outcome::Cancelled),
    ] {
        let told = Told::default();
        let inner =
            service_fn(|_: Picked<()>| async move { Err::<Response<Script>, _>(Broken(failure)) });
        let layer = GrpcObserveLayer::new(told.clone());
        assert!(layer.layer(inner).oneshot(picked()).await.is_err());
        assert_eq!(told.outcomes(), [expected]);
    }
}

/// `NOT_FOUND` means that the endpoint lost its data.
#[derive(Clone)]
struct MustBeThere;

impl Classify<CallEnd, Broken> for MustBeThere {
    fn classify(&self, result: Result<&CallEnd, &Broken>) -> Outcome {
        match result {
            Ok(CallEnd { grpc: Some(5), .. }) => Outcome::Failure(Failure::Response),
            other => GrpcClassify.classify(other),
        }
    }
}

#[tokio::test]
async fn a_rule_of_ones_own_takes_its_place() {
    for (grpc, expected) in [
        ("5", Outcome::Failure(Failure::Response)),
        ("0", Outcome::Success),
    ] {
        let frames = [Ok(Frame::trailers(status(grpc)))];
        let (told, mut response) = observed((200, HeaderMap::new()), frames, MustBeThere).await;
        while response.body_mut().frame().await.is_some() {}
        assert_eq!(told.outcomes(), [expected]);
    }
}
