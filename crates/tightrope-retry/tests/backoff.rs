//! How long a request waits before it is sent again.

#![expect(clippy::unwrap_used, reason = "a test may fail where its set-up fails")]

use std::time::Duration;

use http::{Method, Request};
use tightrope_retry::{Backoff, BackoffError, Budget, RetryLayer};
use tightrope_upstream::Failure;

use crate::world::{Step, Then, World, answer, lose, refuse};

const MS: Duration = Duration::from_millis(1);

fn backoff() -> Backoff {
    Backoff::new(100 * MS, 350 * MS).unwrap().with_seed(7)
}

fn get() -> Request<String> {
    Request::new(String::new())
}

fn says(status: u16, headers: &[(&'static str, &'static str)]) -> Step {
    Step {
        then: Then::Answer(status, headers.to_vec()),
        ..answer(status)
    }
}

/// When each attempt was made.
fn times(world: &World) -> Vec<Duration> {
    world.seen().into_iter().map(|seen| seen.at).collect()
}

#[test]
fn the_bound_doubles_up_to_the_most_and_chance_does_the_rest() {
    let draw = |attempt| {
        let backoff = backoff();
        let drawn: Vec<_> = (0..2000).map(|_| backoff.draw(attempt)).collect();
        let mean = drawn.iter().sum::<Duration>() / 2000;
        (mean, drawn.into_iter().max().unwrap())
    };
    for (attempt, bound) in [(1, 100), (2, 200), (3, 350), (4, 350), (99, 350)] {
        let (mean, most) = draw(attempt);
        assert!(most <= bound * MS && most > bound * MS * 9 / 10, "{most:?}");
        assert!(mean.abs_diff(bound * MS / 2) < bound * MS / 20, "{mean:?}");
    }
    let same = |n| backoff().draw(n);
    assert_eq!(same(3), same(3));
    // Chance of the system's, and each clone goes on where the other was.
    let one = Backoff::new(MS, MS).unwrap();
    assert_ne!(one.draw(1), one.clone().draw(1));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |base, max| Backoff::new(base, max).unwrap_err();
    assert_eq!(refused(Duration::ZERO, MS), BackoffError::Base);
    assert_eq!(
        refused(2 * MS, MS).to_string(),
        "max is 1ms, less than the base of 2ms"
    );
}

#[tokio::test(start_paused = true)]
async fn only_what_may_have_been_sent_waits() {
    let layer = || RetryLayer::new().with_backoff(backoff());
    for at_once in [refuse(), lose(Failure::Stale)] {
        let world = World::new([at_once, answer(200)]);
        assert_eq!(world.send(layer(), get()).await, Ok(200));
        assert_eq!(times(&world), [Duration::ZERO; 2]);
    }
    let world = World::new([lose(Failure::Reset), answer(503), answer(200)]);
    assert_eq!(world.send(layer(), get()).await, Ok(200));
    let drawn = backoff();
    let (first, second) = (drawn.draw(1), drawn.draw(2));
    let slack = 2 * MS;
    let times = times(&world);
    assert!(times[1].abs_diff(first) < slack, "{times:?} {first:?}");
    assert!(times[2].abs_diff(first + second) < slack, "{times:?}");
    // Without one, nothing does.
    let world = World::new([lose(Failure::Reset), answer(200)]);
    assert_eq!(world.send(RetryLayer::new(), get()).await, Ok(200));
    assert_eq!(self::times(&world), [Duration::ZERO; 2]);
}

#[tokio::test(start_paused = true)]
async fn what_an_endpoint_asks_for_is_waited_for_instead() {
    let date = [
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("retry-after", "Sun, 06 Nov 1994 08:49:39 GMT"),
    ];
    let over = [
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("retry-after", "Sunday, 06-Nov-94 08:49:30 GMT"),
    ];
    for (headers, wait) in [
        (&[("retry-after", "2")][..], 2000),
        (&[("retry-after", "0")], 0),
        (&date, 2000),
        (&over, 0),
        (&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], 0),
        (&[("grpc-retry-pushback-ms", "1500")], 1500),
        (&[("retry-after", "9"), ("grpc-retry-pushback-ms", "3")], 3),
    ] {
        let world = World::new([says(503, headers), answer(200)]);
        let layer = RetryLayer::new()
            .with_backoff(backoff())
            .with_retry_after(2000 * MS);
        assert_eq!(world.send(layer, get()).await, Ok(200));
        let waited = times(&world)[1];
        assert!(
            waited.abs_diff(wait * MS) < 2 * MS,
            "{headers:?} {waited:?}"
        );
    }
    // What cannot be read asks for nothing.
    for text in ["soon", "", "-1", "1.5"] {
        let world = World::new([says(503, &[("retry-after", text)]), answer(200)]);
        assert_eq!(world.send(RetryLayer::new(), get()).await, Ok(200));
        assert_eq!(times(&world), [Duration::ZERO; 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_too_long_a_wait_or_for_none_at_all_is_passed_on() {
    for (name, value) in [
        ("retry-after", "3"),
        ("retry-after", "99999999999999999999"),
        ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"),
        ("grpc-retry-pushback-ms", "2001"),
        ("grpc-retry-pushback-ms", "-1"),
        ("grpc-retry-pushback-ms", "soon"),
    ] {
        let world = World::new([says(503, &[(name, value)]), answer(200)]);
        let budget = Budget::default();
        let layer = RetryLayer::new()
            .with_retry_after(2000 * MS)
            .with_budget(budget.clone());
        assert_eq!(world.send(layer, get()).await, Ok(503), "{name}: {value}");
        assert_eq!((world.seen().len(), budget.available()), (1, 100));
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_while_it_waits_nothing_more_is_sent_and_nothing_is_held() {
    let world = World::new([answer(503), answer(200)]);
    let wait = Backoff::new(1000 * MS, 1000 * MS).unwrap().with_seed(1);
    let layer = RetryLayer::new().with_backoff(wait);
    let mut request = get();
    *request.method_mut() = Method::PUT;
    let sent = tokio::time::timeout(MS, world.send(layer, request)).await;
    assert!(sent.is_err());
    tokio::time::sleep(5000 * MS).await;
    assert_eq!((world.seen().len(), world.in_flight()), (1, 0));
}
