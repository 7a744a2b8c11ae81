//! What is sent again, what is not, and what the caller is told.

#![expect(clippy::unwrap_used, reason = "a test may fail where its set-up fails")]

use http::{Method, Request, StatusCode};
use tightrope_retry::{Condition, Retry, RetryLayer, RetryOn};
use tightrope_upstream::{Attempt, EndpointId, Failure};
use tower::{Service, ServiceExt};

use crate::world::{Seen, Step, Then, World, answer, lose, nobody, refuse};

fn get() -> Request<String> {
    Request::new(String::new())
}

fn request(method: Method) -> Request<String> {
    Request::builder()
        .method(method)
        .body("body".to_owned())
        .unwrap()
}

fn layer() -> RetryLayer {
    RetryLayer::new()
}

/// After all that may be sent again.
fn failures() -> Vec<Step> {
    vec![
        lose(Failure::Reset),
        lose(Failure::HeadTimeout),
        lose(Failure::Stale),
        answer(502),
        answer(503),
        answer(504),
        grpc("application/grpc+proto", "14"),
    ]
}

fn grpc(content_type: &'static str, status: &'static str) -> Step {
    let headers = vec![("content-type", content_type), ("grpc-status", status)];
    Step {
        then: Then::Answer(200, headers),
        ..answer(200)
    }
}

#[tokio::test]
async fn a_request_that_was_never_sent_goes_elsewhere_with_its_body_whatever_it_is() {
    for method in [Method::GET, Method::POST, Method::PATCH, Method::CONNECT] {
        let world = World::new([refuse(), refuse(), answer(200)]);
        let layer = layer().with_policy(RetryOn::new([])).with_body_limit(0);
        assert_eq!(world.send(layer, request(method)).await, Ok(200));
        let seen: Vec<_> = world
            .seen()
            .into_iter()
            .map(|seen| (seen.attempt, seen.endpoint, seen.body))
            .collect();
        let body = || "body".to_owned();
        let nothing = String::new;
        assert_eq!(
            seen,
            [
                (1, Some(0), nothing()),
                (2, Some(1), nothing()),
                (3, Some(2), body())
            ]
        );
    }
}

#[tokio::test]
async fn a_head_that_comes_back_is_as_good_as_a_copy_and_without_either_nothing_is_sent_again() {
    let layer = || layer().with_returned_heads();
    for failure in failures() {
        let world = World::new([failure.clone(), answer(200)]).giving_back();
        assert_eq!(world.send(layer(), request(Method::PUT)).await, Ok(200));
        assert_eq!(world.went(), [Some(0), Some(1)]);
        let bodies: Vec<_> = world.seen().into_iter().map(|seen| seen.body).collect();
        assert_eq!(bodies, ["body", "body"]);
        let world = World::new([failure, answer(201)]);
        let result = world.send(layer(), request(Method::PUT)).await;
        assert_ne!(result, Ok(201));
        assert_eq!(world.went(), [Some(0)]);
    }
    // Nothing of it was sent.
    let world = World::new([refuse(), answer(200)]);
    assert_eq!(world.send(layer(), get()).await, Ok(200));
    // Nobody else is left, and the one there is did no wrong.
    let script = [lose(Failure::Stale), nobody(), answer(200)];
    let world = World::with_endpoints(1, script).giving_back();
    assert_eq!(world.send(layer(), get()).await, Ok(200));
}

#[tokio::test]
async fn an_idempotent_request_goes_elsewhere_after_whatever_is_listed() {
    for failure in failures() {
        for method in [
            Method::GET,
            Method::HEAD,
            Method::OPTIONS,
            Method::TRACE,
            Method::PUT,
            Method::DELETE,
        ] {
            let world = World::new([failure.clone(), answer(200)]);
            assert_eq!(
                world.send(layer(), request(method)).await,
                Ok(200),
                "{failure:?}"
            );
            let bodies: Vec<_> = world.seen().into_iter().map(|seen| seen.body).collect();
            assert_eq!(bodies, ["body", "body"]);
            assert_eq!(world.went(), [Some(0), Some(1)]);
        }
    }
}

#[tokio::test]
async fn one_that_is_not_idempotent_is_sent_once_unless_the_policy_says_otherwise() {
    for failure in failures() {
        for method in [Method::POST, Method::PATCH, Method::CONNECT] {
            let world = World::new([failure.clone(), answer(200)]);
            let first = world.send(layer(), request(method.clone())).await;
            assert_eq!(world.seen().len(), 1, "{failure:?}");
            match failure.then {
                Then::Answer(status, _) => assert_eq!(first, Ok(status)),
                Then::Lose(failure) => assert_eq!(first, Err(failure)),
                _ => unreachable!(),
            }
            let world = World::new([failure.clone(), answer(200)]);
            let layer = layer().with_policy(RetryOn::default().with_method(method.clone()));
            assert_eq!(world.send(layer, request(method)).await, Ok(200));
            assert_eq!(world.seen().len(), 2, "{failure:?}");
        }
    }
}

#[tokio::test]
async fn a_grpc_call_is_repeated_where_the_policy_says_that_calls_may_be() {
    let call = |content_type: &str| {
        let builder = Request::post("/").header("content-type", content_type);
        builder.body("call".to_owned()).unwrap()
    };
    let unavailable = || grpc("application/grpc", "14");
    let world = World::new([unavailable(), answer(200)]);
    world.send(layer(), call("application/grpc")).await.unwrap();
    assert_eq!(world.seen().len(), 1);

    let layer = || layer().with_policy(RetryOn::default().with_grpc_calls());
    for (content_type, calls) in [
        ("application/grpc", 2),
        ("application/grpc+json", 2),
        ("application/grpc;x=y", 2),
        ("application/grpc-web", 1),
        ("application/json", 1),
    ] {
        let world = World::new([unavailable(), answer(200)]);
        world.send(layer(), call(content_type)).await.unwrap();
        assert_eq!(world.seen().len(), calls, "{content_type}");
    }
    // Another code, or something that is no answer to a call.
    for other in [grpc("application/grpc", "13"), grpc("text/plain", "14")] {
        let world = World::new([other, answer(200)]);
        world.send(layer(), call("application/grpc")).await.unwrap();
        assert_eq!(world.seen().len(), 1);
    }
}

#[tokio::test]
async fn what_is_not_listed_is_passed_on() {
    for other in [answer(200), answer(404), answer(500), answer(505)] {
        let Then::Answer(status, _) = other.then else {
            unreachable!()
        };
        let world = World::new([other, answer(204)]);
        assert_eq!(world.send(layer(), get()).await, Ok(status));
        assert_eq!(world.seen().len(), 1);
    }
    for failure in [
        Failure::Protocol,
        Failure::Downstream,
        Failure::DownstreamTimeout,
        Failure::Local,
    ] {
        let world = World::new([lose(failure), answer(200)]);
        assert_eq!(world.send(layer(), get()).await, Err(failure));
        assert_eq!(world.seen().len(), 1);
    }
    let world = World::new([lose(Failure::Protocol), answer(500), answer(200)]);
    let on = [
        Condition::InvalidResponse,
        Condition::Status(StatusCode::INTERNAL_SERVER_ERROR),
    ];
    let layer = layer().with_policy(RetryOn::new(on));
    assert_eq!(world.send(layer, get()).await, Ok(200));
}

#[tokio::test]
async fn after_a_stale_connection_an_idempotent_request_is_sent_again_whatever_is_listed() {
    let layer = || layer().with_policy(RetryOn::new([])).with_budget(None);
    let world = World::new([lose(Failure::Stale), answer(200)]);
    assert_eq!(world.send(layer(), get()).await, Ok(200));
    let world = World::new([lose(Failure::Stale), answer(200)]);
    let post = world.send(layer(), request(Method::POST)).await;
    assert_eq!(post, Err(Failure::Stale));
    // As long as attempts allow.
    let world = World::new([lose(Failure::Stale)]);
    assert_eq!(world.send(layer(), get()).await, Err(Failure::Stale));
    assert_eq!(world.seen().len(), 3);
}

#[tokio::test]
async fn with_nobody_else_it_goes_to_the_endpoint_of_the_stale_connection_again() {
    let world = World::with_endpoints(1, [lose(Failure::Stale), nobody(), answer(200)]);
    assert_eq!(world.send(layer(), get()).await, Ok(200));
    assert_eq!(world.went(), [Some(0), None, Some(0)]);
    let attempts: Vec<_> = world
        .seen()
        .into_iter()
        .map(|seen: Seen| seen.attempt)
        .collect();
    assert_eq!(attempts, [1, 2, 2]);
    // Others first.
    let world = World::with_endpoints(2, [lose(Failure::Stale), answer(200)]);
    assert_eq!(world.send(layer(), get()).await, Ok(200));
    assert_eq!(world.went(), [Some(0), Some(1)]);
    // One that failed is not forgiven.
    let world = World::with_endpoints(1, [lose(Failure::Reset), answer(200)]);
    assert_eq!(world.send(layer(), get()).await, Err(Failure::Reset));
}

#[tokio::test]
async fn attempts_are_bounded() {
    for step in [refuse(), lose(Failure::Reset), lose(Failure::Stale)] {
        for (attempts, calls) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
            let world = World::with_endpoints(9, [step.clone()]);
            let sent = world.send(layer().with_attempts(attempts), get()).await;
            assert!(sent.is_err());
            assert_eq!(world.seen().len(), calls, "{attempts} attempts");
        }
    }
}

#[tokio::test]
async fn nobody_left_to_try_leaves_what_came_before() {
    let world = World::new([refuse(), nobody()]);
    assert_eq!(world.send(layer(), get()).await, Err(Failure::Connect));
    let world = World::new([nobody()]);
    assert_eq!(world.send(layer(), get()).await, Err(Failure::Unavailable));
    // Also a response, which is the one that came.
    let world = World::with_endpoints(1, [answer(503)]);
    assert_eq!(world.send(layer(), get()).await, Ok(503));
    assert_eq!(world.went(), [Some(0), None]);
    let world = World::with_endpoints(2, [answer(503), answer(502), answer(200)]);
    assert_eq!(world.send(layer(), get()).await, Ok(502));
}

#[tokio::test]
async fn an_answer_that_is_not_used_is_let_go_when_the_next_attempt_begins_and_counts_as_failed() {
    let slow = answer(200).after(std::time::Duration::from_secs(9));
    let world = World::new([answer(503), slow]);
    let mut retry = Retry::new(world.clone());
    let mut response = Box::pin(
        ServiceExt::<Request<String>>::ready(&mut retry)
            .await
            .unwrap()
            .call(get()),
    );
    assert!(futures_now(&mut response).is_none());
    let record = |n: usize| world.endpoints[n].record();
    assert_eq!((record(0).in_flight(), record(1).in_flight()), (0, 1));
    assert_eq!(
        (record(0).totals().failed, record(0).totals().cancelled),
        (1, 0)
    );
    // And dropping it all lets the rest go, as cancelled.
    drop(response);
    assert_eq!(record(1).in_flight(), 0);
    assert_eq!(
        (record(1).totals().failed, record(1).totals().cancelled),
        (0, 1)
    );
    assert_eq!(world.seen().len(), 2);
}

/// What it has come to by now.
fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut task) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn an_attempt_left_in_the_request_is_not_believed() {
    for method in [Method::GET, Method::POST] {
        let world = World::new([answer(200)]);
        let mut request = request(method);
        let forged = Attempt::first().next(EndpointId::new("10.0.0.1:80").unwrap());
        request.extensions_mut().insert(forged);
        assert_eq!(world.send(layer(), request).await, Ok(200));
        assert_eq!((world.seen()[0].attempt, world.went()[0]), (1, Some(0)));
    }
}

#[test]
fn conditions_read_as_they_are_written() {
    let more = ["invalid_response", "400", "429", "599", "grpc_1", "grpc_16"];
    let all = Condition::DEFAULT.map(|condition| condition.to_string());
    for text in all.iter().map(String::as_str).chain(more) {
        assert_eq!(text.parse::<Condition>().unwrap().to_string(), text);
    }
    for text in [
        "", "5xx", "399", "600", "grpc_0", "grpc_17", "grpc_", "Reset",
    ] {
        let error = text.parse::<Condition>().unwrap_err();
        assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
    }
}
