//! Second copies of requests that are not answered for a while.

#![expect(clippy::unwrap_used, reason = "a test may fail where its set-up fails")]

use std::time::Duration;

use http::{Method, Request};
use tightrope_retry::{Backoff, Budget, Hedge, RetryLayer};
use tightrope_upstream::Failure;

use crate::world::{
    Piece::{Data, Wait},
    Step, Then, World, answer, lose, nobody, pieces, refuse,
};

const MS: Duration = Duration::from_millis(1);

fn layer() -> RetryLayer {
    RetryLayer::new().with_hedge(Hedge::after(50 * MS))
}

fn get() -> Request<String> {
    Request::new(String::new())
}

fn put(body: &str) -> Request<String> {
    let builder = Request::builder().method(Method::PUT);
    builder.body(body.to_owned()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_second_copy_needs_no_head_that_came_back() {
    let world = World::new([answer(200).after(1000 * MS), answer(201)]);
    let layer = layer().with_returned_heads();
    assert_eq!(world.send(layer, put("body")).await, Ok(201));
}

/// When each attempt was made, in milliseconds, and where it went.
fn made(world: &World) -> Vec<(u128, Option<usize>)> {
    let seen = world.seen().into_iter();
    seen.map(|seen| (seen.at.as_millis(), seen.endpoint))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn who_answers_first_is_believed_and_the_other_one_counts_against_nobody() {
    for (first, twin, status) in [(1000, 10, 201), (70, 100, 200)] {
        let world = World::new([answer(200).after(first * MS), answer(201).after(twin * MS)]);
        assert_eq!(world.send(layer(), put("body")).await, Ok(status));
        let made = made(&world);
        assert_eq!((made[0], made[1].1), ((0, Some(0)), Some(1)));
        assert!((50..53).contains(&made[1].0), "{made:?}");
        let bodies: Vec<_> = world.seen().into_iter().map(|seen| seen.body).collect();
        assert_eq!(bodies, ["body", "body"]);
        let totals = [0, 1].map(|n| world.endpoints[n].record().totals());
        assert_eq!(totals.map(|totals| totals.failed), [0, 0]);
        assert_eq!(totals.map(|totals| totals.cancelled), [1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_answers_in_time_is_not_joined() {
    let world = World::new([answer(200).after(49 * MS)]);
    assert_eq!(world.send(layer(), get()).await, Ok(200));
    assert_eq!(made(&world), [(0, Some(0))]);
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_carried_out_twice_is_hedged() {
    let post = Request::post("/").body("x".to_owned()).unwrap();
    let upgrade = Request::get("/").header("upgrade", "websocket");
    let upgrade = upgrade.body(String::new()).unwrap();
    let large = put("0123456789");
    for request in [post, upgrade, large] {
        let world = World::new([answer(200).after(1000 * MS)]);
        let layer = layer().with_body_limit(9);
        assert_eq!(world.send(layer, request).await, Ok(200));
        assert_eq!(world.seen().len(), 1);
    }
    // Nor what is not read to its end.
    let body = || pieces([Data("a"), Wait, Data("b")]);
    for (read, calls) in [(1, 1), (9, 2)] {
        let world = World::new([answer(200).after(1000 * MS).reading(read)]);
        let mut request = Request::new(body());
        *request.method_mut() = Method::PUT;
        assert_eq!(world.send(layer(), request).await, Ok(200));
        assert_eq!(world.seen().len(), calls, "{read}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_has_the_next_attempt_begin_at_once_and_waits_for_the_one_under_way() {
    let slow = || answer(200).after(1000 * MS);
    let backoff = Backoff::new(500 * MS, 500 * MS).unwrap();
    let layer = layer().with_backoff(backoff);
    for failure in [answer(503), lose(Failure::Reset), refuse()] {
        // The twin fails after 10 ms.
        let world = World::new([
            slow(),
            failure.clone().after(10 * MS),
            answer(202).after(MS),
        ]);
        assert_eq!(world.send(layer.clone(), get()).await, Ok(202));
        let made = made(&world);
        assert!((60..64).contains(&made[2].0), "{made:?}");
        assert_eq!(made[2].1, Some(2));
        // All but one fail, and that one is slow.
        let world = World::new([slow(), failure.clone(), failure]);
        assert_eq!(world.send(layer.clone(), get()).await, Ok(200));
        assert_eq!(world.seen().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_sent_again_does_not_end_it_while_another_may_answer() {
    let slow = answer(200).after(1000 * MS);
    let world = World::new([slow.clone(), lose(Failure::Protocol)]);
    assert_eq!(world.send(layer(), get()).await, Ok(200));
    // But an answer that is acceptable does, and a client that is gone.
    let world = World::new([slow.clone(), answer(404)]);
    assert_eq!(world.send(layer(), get()).await, Ok(404));
    let world = World::new([slow, lose(Failure::Downstream)]);
    assert_eq!(world.send(layer(), get()).await, Err(Failure::Downstream));
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_told_when_all_fail() {
    let world = World::new([
        lose(Failure::Reset).after(100 * MS),
        lose(Failure::HeadTimeout).after(300 * MS),
        answer(503).after(100 * MS),
    ]);
    let sent = world.send(layer(), get()).await;
    assert_eq!(sent, Err(Failure::HeadTimeout));
    assert_eq!(world.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn nobody_else_to_ask_costs_nothing() {
    let budget = Budget::new(0).unwrap().with_reserve(1).unwrap();
    let world = World::new([answer(200).after(900 * MS), nobody()]);
    let layer = layer().with_budget(budget.clone());
    assert_eq!(world.send(layer, get()).await, Ok(200));
    assert_eq!(made(&world).len(), 2);
    assert_eq!(budget.available(), 10);
}

#[tokio::test(start_paused = true)]
async fn pushback_stops_it() {
    let no = Step {
        then: Then::Answer(503, vec![("grpc-retry-pushback-ms", "-1")]),
        ..answer(503)
    };
    let world = World::new([answer(200).after(1000 * MS), no.clone()]);
    let layer = layer().with_attempts(9);
    assert_eq!(world.send(layer.clone(), get()).await, Ok(200));
    assert_eq!(world.seen().len(), 2);
    // Alone, it is the answer.
    let world = World::new([no.after(10 * MS), answer(200)]);
    assert_eq!(world.send(layer, get()).await, Ok(503));
    assert_eq!(world.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn hedges_and_retries_share_the_attempts_and_the_budget() {
    let slow = || World::with_endpoints(9, [answer(200).after(1000 * MS)]);
    let world = slow();
    assert_eq!(world.send(layer().with_attempts(9), get()).await, Ok(200));
    // Two at a time.
    assert_eq!(world.seen().len(), 2);
    let world = slow();
    assert_eq!(world.send(layer().with_attempts(1), get()).await, Ok(200));
    assert_eq!(world.seen().len(), 1);

    let budget = Budget::new(10).unwrap().with_reserve(0).unwrap();
    let layer = layer().with_budget(budget);
    let world = slow();
    for _ in 0..5 {
        assert_eq!(world.send(layer.clone(), get()).await, Ok(200));
    }
    assert_eq!(world.seen().len(), 5);
    let failing = World::new([answer(503)]);
    for _ in 0..5 {
        assert_eq!(failing.send(layer.clone(), get()).await, Ok(503));
    }
    // The tenth request of both, and it was paid for once.
    assert_eq!(failing.seen().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_percentile_is_known_once_there_are_enough_answers() {
    let hedge = Hedge::at_percentile(90).unwrap().with_min_sample(10);
    let layer = RetryLayer::new().with_hedge(hedge);
    let mut steps: Vec<_> = (1..=10).map(|n| answer(200).after(10 * n * MS)).collect();
    steps.extend([answer(200).after(1000 * MS), answer(201)]);
    let world = World::new(steps);
    for _ in 0..10 {
        assert_eq!(world.send(layer.clone(), get()).await, Ok(200));
    }
    assert_eq!(world.seen().len(), 10);
    assert_eq!(world.send(layer, get()).await, Ok(201));
    let made = made(&world);
    // Nine of ten took up to 90 ms.
    let delay = made[11].0 - made[10].0;
    assert!((90..99).contains(&delay), "{delay}");
}

#[test]
fn a_percentile_is_a_share() {
    for percentile in [0, 100] {
        let error = Hedge::at_percentile(percentile).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("percentile is {percentile}, not from 1 to 99")
        );
    }
}
