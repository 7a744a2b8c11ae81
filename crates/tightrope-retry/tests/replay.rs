//! Bodies of further attempts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tightrope_retry::{Backoff, Replay, RetryLayer};
use tightrope_upstream::{Failed, Failure, TakeUnsent, Unsent};
use tower::{Layer, ServiceExt, service_fn};

use crate::world::{
    Piece::{Data, Fail, Trailers, Wait},
    Pieces, World, answer, lose, pieces,
};

fn put<B>(body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::PUT;
    request
}

fn stream() -> Pieces {
    pieces([Data("ab"), Wait, Data("cd"), Data("ef"), Trailers])
}

fn bodies(world: &World) -> Vec<String> {
    world.seen().into_iter().map(|seen| seen.body).collect()
}

#[tokio::test]
async fn a_body_is_sent_again_piece_for_piece_with_its_trailers() {
    for frames in 0..=5 {
        let lost = lose(Failure::Reset).reading(frames);
        let world = World::new([lost.clone(), lost, answer(200)]);
        assert_eq!(world.send(RetryLayer::new(), put(stream())).await, Ok(200));
        assert_eq!(bodies(&world)[2], "abcdef[1]", "after {frames} frames");
    }
}

#[tokio::test]
async fn a_body_past_the_bound_is_streamed_and_sent_once() {
    for (limit, calls) in [(0, 1), (1, 1), (5, 1), (6, 2), (7, 2)] {
        let world = World::new([lose(Failure::Reset), answer(200)]);
        let layer = RetryLayer::new().with_body_limit(limit);
        let sent = world.send(layer, put(stream())).await;
        assert_eq!(sent.is_ok(), calls == 2, "limit {limit}");
        assert_eq!(bodies(&world), vec!["abcdef[1]"; calls], "limit {limit}");
    }
}

#[tokio::test]
async fn what_was_read_of_a_body_before_it_grew_past_the_bound_can_still_be_sent() {
    let world = World::new([lose(Failure::Reset).reading(1), lose(Failure::Reset)]);
    let layer = RetryLayer::new().with_body_limit(5);
    let sent = world.send(layer, put(stream())).await;
    assert_eq!(sent, Err(Failure::Reset));
    // The second attempt read all of it, and there is no third.
    assert_eq!(bodies(&world), ["ab", "abcdef[1]"]);
}

#[tokio::test]
async fn a_body_whose_length_is_known_to_be_too_much_is_not_kept() {
    let full = || Full::from("abcdef").boxed_unsync();
    for (limit, calls) in [(5, 1), (6, 2)] {
        let world = World::new([lose(Failure::Reset), answer(200)]);
        let layer = RetryLayer::new().with_body_limit(limit);
        let sent = world.send(layer, put(full())).await;
        assert_eq!(sent.is_ok(), calls == 2);
        assert_eq!(bodies(&world), vec!["abcdef"; calls]);
    }
}

#[tokio::test]
async fn a_body_that_fails_is_not_sent_again() {
    let broken = || pieces([Data("ab"), Fail, Data("cd")]);
    let world = World::new([lose(Failure::Reset), answer(200)]);
    let sent = world.send(RetryLayer::new(), put(broken())).await;
    assert_eq!(sent, Err(Failure::Downstream));
    assert_eq!(world.seen().len(), 1);
}

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

/// An endpoint may answer before it has the whole body, which then is still read for a while.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_over_takes_nothing_from_the_next_one() {
    let bodies = Arc::new(Mutex::new(VecDeque::new()));
    let (kept, statuses) = (Arc::clone(&bodies), Arc::new(Mutex::new(vec![200, 503])));
    let inner = service_fn(move |request: Request<Replay<Pieces>>| {
        kept.lock().unwrap().push_back(request.into_body());
        let mut response = Response::new(());
        *response.status_mut() = statuses.lock().unwrap().pop().unwrap().try_into().unwrap();
        std::future::ready(Ok::<_, Never>(response))
    });
    let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1)).unwrap();
    let layer = RetryLayer::new().with_backoff(backoff).with_body_limit(5);
    let request = put(pieces([Data("ab"), Data("cd"), Data("ef")]));
    let mut sent = Box::pin(layer.layer(inner).oneshot(request));
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(sent.as_mut().poll(&mut task).is_pending());
    // Before the next attempt is made, and after.
    let mut first: Replay<Pieces> = bodies.lock().unwrap().pop_front().unwrap();
    let refused = first.frame().await.unwrap().unwrap_err();
    assert!(refused.to_string().contains("another attempt"), "{refused}");
    assert_eq!(sent.await.unwrap().status(), 200);
    let mut second = bodies.lock().unwrap().pop_front().unwrap();
    assert!(second.frame().await.unwrap().is_ok());
    // What is there it may have.
    assert!(first.frame().await.unwrap().is_ok());
    assert!(first.frame().await.unwrap().is_err());
    let mut rest = String::new();
    while let Some(frame) = second.frame().await {
        rest.push_str(std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap());
    }
    assert_eq!(rest, "cdef");
}

#[tokio::test]
async fn the_length_that_a_body_tells_is_that_of_the_whole_each_time() {
    let hints = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&hints);
    let inner = service_fn(move |mut request: Request<Replay<Full<bytes::Bytes>>>| {
        let seen = Arc::clone(&seen);
        async move {
            let mut hint = vec![request.body().size_hint().exact()];
            request.body_mut().frame().await.unwrap().unwrap();
            hint.push(request.body().size_hint().exact());
            let mut response = Response::new(());
            if seen.lock().unwrap().is_empty() {
                *response.status_mut() = http::StatusCode::BAD_GATEWAY;
            }
            assert!(request.body().is_end_stream());
            seen.lock().unwrap().push(hint);
            Ok::<_, Never>(response)
        }
    });
    let layer = RetryLayer::new();
    let sent = layer.layer(inner).oneshot(put(Full::from("abcdef"))).await;
    assert_eq!(sent.unwrap().status(), 200);
    assert_eq!(*hints.lock().unwrap(), vec![vec![Some(6), Some(0)]; 2]);
}
