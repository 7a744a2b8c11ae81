//! A request that is given up, wherever it is, leaves nothing behind and sends nothing more.

#![expect(clippy::unwrap_used, reason = "a test may fail where its set-up fails")]

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Method, Request};
use tightrope_retry::{Backoff, Budget, Hedge, RetryLayer};
use tightrope_upstream::Failure;
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt};

use crate::world::{
    Piece::{Data, Trailers, Wait},
    Pieces, Step, World, answer, lose, pieces, refuse,
};

const MS: Duration = Duration::from_millis(1);

fn request() -> Request<Pieces> {
    let mut request = Request::new(pieces([Data("a"), Wait, Data("b"), Wait, Trailers]));
    *request.method_mut() = Method::PUT;
    request
}

/// Polls a request `polls` times, with 5 ms in between, and drops it; whether that was before its end.
async fn dropped_after(polls: usize, layer: &RetryLayer, script: &[Step]) -> bool {
    let world = World::new(script.iter().cloned());
    let mut retry = layer.layer(world.clone());
    let mut sent = Box::pin(
        ServiceExt::<Request<Pieces>>::ready(&mut retry)
            .await
            .unwrap()
            .call(request()),
    );
    let mut is_pending = true;
    for _ in 0..polls {
        let mut task = Context::from_waker(Waker::noop());
        if let Poll::Ready(end) = sent.as_mut().poll(&mut task) {
            drop(end);
            is_pending = false;
            break;
        }
        advance(5 * MS).await;
    }
    drop(sent);
    assert_eq!(world.in_flight(), 0, "after {polls} polls");
    let seen = world.seen();
    advance(Duration::from_secs(9)).await;
    assert_eq!(world.seen(), seen, "after {polls} polls");
    is_pending
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_at_any_poll_leaves_nothing_behind() {
    let slow = answer(503).after(30 * MS);
    let scripts = [
        vec![refuse(), slow.clone(), answer(200).after(10 * MS)],
        vec![
            lose(Failure::Reset).after(10 * MS),
            slow.clone(),
            slow.clone(),
        ],
        vec![slow.clone(), lose(Failure::Stale).reading(1), answer(200)],
        vec![answer(200).after(90 * MS), slow, lose(Failure::Reset)],
    ];
    let backoff = Backoff::new(20 * MS, 40 * MS).unwrap().with_seed(3);
    let plain = RetryLayer::new().with_budget(Budget::default());
    let hedged = plain.clone().with_hedge(Hedge::after(10 * MS));
    for layer in [
        plain.with_backoff(backoff.clone()),
        hedged.clone().with_backoff(backoff),
        hedged.with_attempt_timeout(25 * MS).with_timeout(100 * MS),
    ] {
        for script in &scripts {
            let mut polls = 0;
            while dropped_after(polls, &layer, script).await {
                polls += 1;
            }
            assert!(polls >= 3, "{polls} in {script:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_was_paid_for_and_not_made_costs_nothing() {
    let budget = Budget::new(100).unwrap().with_reserve(0).unwrap();
    let layer = RetryLayer::new()
        .with_budget(budget.clone())
        .with_backoff(Backoff::new(20 * MS, 40 * MS).unwrap().with_seed(3));
    let world = World::new([answer(503)]);
    let mut sent = Box::pin(layer.layer(world.clone()).oneshot(request()));
    while world.seen().is_empty() || world.in_flight() == 0 {
        let mut task = Context::from_waker(Waker::noop());
        assert!(sent.as_mut().poll(&mut task).is_pending());
    }
    // Until the answer came.
    for _ in 0..8 {
        let mut task = Context::from_waker(Waker::noop());
        assert!(sent.as_mut().poll(&mut task).is_pending());
    }
    assert_eq!((world.seen().len(), budget.available()), (1, 0));
    drop(sent);
    assert_eq!(budget.available(), 1);
}
