//! Bodies of further attempts.

use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use tightrope_retry::RetryLayer;
use tightrope_upstream::Failure;

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
