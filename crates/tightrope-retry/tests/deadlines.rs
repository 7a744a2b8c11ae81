//! How long requests and attempts may take, and who is told of it.

use std::time::Duration;

use http::{HeaderName, Request, request};
use tightrope_retry::{Backoff, Budget, Deadlines, Hedge, RetryLayer};
use tightrope_upstream::Failure;
use tokio::time::Instant;

use crate::world::{Step, Then, World, answer, lose, nobody, refuse};

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

fn get() -> Request<String> {
    Request::new(String::new())
}

fn grpc() -> request::Builder {
    Request::post("/shop.Cart/Add").header("content-type", "application/grpc+proto")
}

/// All fields are heeded.
fn heeding() -> RetryLayer {
    let name = HeaderName::from_static("x-left-ms");
    let deadlines = Deadlines::new().with_grpc_timeout();
    RetryLayer::new().with_deadlines(deadlines.with_milliseconds(name).expect("a field"))
}

/// How it ended, and after how many milliseconds.
async fn sent(
    world: &World,
    layer: &RetryLayer,
    request: Request<String>,
) -> (Result<u16, Failure>, u128) {
    let start = Instant::now();
    let end = world.send(layer.clone(), request).await;
    (end, start.elapsed().as_millis())
}

fn failed(world: &World) -> [u64; 3] {
    [0, 1, 2].map(|n| world.endpoints[n].record().totals().failed)
}

fn cancelled(world: &World) -> [u64; 3] {
    [0, 1, 2].map(|n| world.endpoints[n].record().totals().cancelled)
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_with_its_time_and_who_had_half_of_it_is_blamed() {
    let layer = RetryLayer::new().with_timeout(100 * MS);
    let world = World::new([answer(200).after(LONG)]);
    assert_eq!(
        sent(&world, &layer, get()).await,
        (Err(Failure::HeadTimeout), 100)
    );
    assert_eq!((failed(&world), cancelled(&world)), ([1, 0, 0], [0, 0, 0]));

    for (first, blamed) in [(50, [0, 1, 0]), (51, [0, 0, 0])] {
        let first = answer(503).after(first * MS);
        let world = World::new([first, answer(200).after(LONG)]);
        assert_eq!(
            sent(&world, &layer, get()).await,
            (Err(Failure::HeadTimeout), 100)
        );
        let second = failed(&world)[1];
        assert_eq!(second, blamed[1]);
        assert_eq!(cancelled(&world)[1], 1 - second);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_is_what_it_is() {
    let layer = RetryLayer::new()
        .with_timeout(100 * MS)
        .with_attempt_timeout(100 * MS);
    for time in [0, 1, 99, 100] {
        let world = World::new([answer(200).after(time * MS)]);
        assert_eq!(
            sent(&world, &layer, get()).await,
            (Ok(200), u128::from(time))
        );
        assert_eq!(failed(&world), [0, 0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_goes_elsewhere_where_that_is_safe() {
    let layer = RetryLayer::new().with_attempt_timeout(30 * MS);
    let script = [answer(200).after(LONG), answer(200).after(20 * MS)];
    let world = World::new(script.clone());
    assert_eq!(sent(&world, &layer, get()).await, (Ok(200), 50));
    assert_eq!(world.went(), [Some(0), Some(1)]);
    assert_eq!((failed(&world), cancelled(&world)[0]), ([1, 0, 0], 0));

    let world = World::new(script);
    let post = Request::post("/").body(String::new()).unwrap();
    assert_eq!(
        sent(&world, &layer, post).await,
        (Err(Failure::HeadTimeout), 30)
    );
    assert_eq!((world.went(), failed(&world)), (vec![Some(0)], [1, 0, 0]));

    // One attempt after the other.
    let world = World::new([answer(200).after(LONG)]);
    assert_eq!(
        sent(&world, &layer, get()).await,
        (Err(Failure::HeadTimeout), 90)
    );
    assert_eq!(failed(&world), [1, 1, 1]);
    let world = World::new([answer(200).after(LONG)]);
    let layer = layer.with_timeout(70 * MS);
    assert_eq!(
        sent(&world, &layer, get()).await,
        (Err(Failure::HeadTimeout), 70)
    );
    // The third had 10 of 70 ms.
    assert_eq!((failed(&world), cancelled(&world)), ([1, 1, 0], [0, 0, 1]));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_an_attempt_counts_from_the_choice_of_its_endpoint() {
    let layer = RetryLayer::new().with_attempt_timeout(30 * MS);
    let world = World::new([answer(200).queued(25 * MS).after(25 * MS)]);
    assert_eq!(sent(&world, &layer, get()).await, (Ok(200), 50));
    let world = World::new([answer(200).queued(25 * MS).after(LONG), answer(201)]);
    assert_eq!(sent(&world, &layer, get()).await, (Ok(201), 55));
    assert_eq!(failed(&world), [1, 0, 0]);
    // Nobody is to blame for a choice that is never made.
    let once = layer.with_attempts(1);
    let world = World::new([answer(200).queued(LONG)]);
    assert_eq!(
        sent(&world, &once, get()).await,
        (Err(Failure::HeadTimeout), 30)
    );
    assert_eq!((failed(&world), cancelled(&world)), ([0; 3], [0; 3]));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_choice_ends_with_its_time() {
    let layer = RetryLayer::new().with_timeout(100 * MS);
    let world = World::new([answer(200).queued(LONG)]);
    assert_eq!(
        sent(&world, &layer, get()).await,
        (Err(Failure::HeadTimeout), 100)
    );
    // What went wrong before says more.
    let world = World::new([lose(Failure::Reset), answer(200).queued(LONG)]);
    assert_eq!(
        sent(&world, &layer, get()).await,
        (Err(Failure::Reset), 100)
    );
    // What was paid for an attempt that nobody made comes back, also if it was not the last.
    let budget = Budget::new(0).unwrap().with_reserve(1).unwrap();
    let layer = layer.with_budget(budget.clone());
    let impatient = layer.clone().with_attempt_timeout(30 * MS);
    for layer in [&layer, &impatient] {
        let world = World::new([answer(503), answer(200).queued(LONG)]);
        assert!(sent(&world, layer, get()).await.0.is_err());
        assert_eq!(budget.available(), 10);
    }
    // One whose endpoint was chosen late had not much of the time.
    let world = World::new([answer(200).queued(60 * MS).after(LONG)]);
    assert_eq!(
        sent(&world, &layer, get()).await,
        (Err(Failure::HeadTimeout), 100)
    );
    assert_eq!((failed(&world), cancelled(&world)[0]), ([0; 3], 1));
}

#[tokio::test(start_paused = true)]
async fn no_wait_begins_that_would_not_end_in_time() {
    let pushback = |after| Step {
        then: Then::Answer(503, vec![("retry-after", after)]),
        ..answer(503)
    };
    let waits = RetryLayer::new().with_retry_after(LONG);
    let layer = waits.clone().with_timeout(Duration::from_secs(2));
    let world = World::new([pushback("2")]);
    assert_eq!(sent(&world, &layer, get()).await, (Ok(503), 0));
    let world = World::new([pushback("1"), answer(200)]);
    assert_eq!(sent(&world, &layer, get()).await, (Ok(200), 1000));
    // So it is with a backoff, whose draw may be too long.
    let backoff = Backoff::new(LONG, LONG).unwrap().with_seed(7);
    let world = World::new([lose(Failure::Reset).after(50 * MS), answer(200)]);
    let budget = Budget::new(0).unwrap().with_reserve(1).unwrap();
    let layer = layer.with_backoff(backoff).with_budget(budget.clone());
    assert_eq!(sent(&world, &layer, get()).await, (Err(Failure::Reset), 50));
    assert_eq!(
        budget.available(),
        10,
        "a retry that is not made costs nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn hedged_attempts_share_the_time_of_their_request_and_have_each_their_own() {
    let layer = RetryLayer::new().with_hedge(Hedge::after(40 * MS));
    let slow = || World::new([answer(200).after(LONG)]);
    let world = slow();
    let total = layer.clone().with_timeout(100 * MS);
    assert_eq!(
        sent(&world, &total, get()).await,
        (Err(Failure::HeadTimeout), 100)
    );
    assert_eq!(world.seen().len(), 3 - 1);
    assert_eq!(failed(&world), [1, 1, 0]);
    // 60 ms after each began; the third takes the place of the first.
    let world = slow();
    let each = layer.clone().with_attempt_timeout(60 * MS);
    assert_eq!(
        sent(&world, &each, get()).await,
        (Err(Failure::HeadTimeout), 120)
    );
    assert_eq!(failed(&world), [1, 1, 1]);
    // None that would come too late.
    let world = slow();
    let short = layer.with_timeout(40 * MS);
    assert_eq!(
        sent(&world, &short, get()).await,
        (Err(Failure::HeadTimeout), 40)
    );
    assert_eq!(world.seen().len(), 1);
}

#[test]
fn a_field_that_frames_a_message_says_nothing_of_time() {
    for name in [
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
        "grpc-timeout",
    ] {
        let refused = Deadlines::new().with_milliseconds(HeaderName::from_static(name));
        let error = refused.expect_err(name).to_string();
        assert_eq!(
            error,
            format!("`{name}` is no field for a number of milliseconds")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_shortens_the_time_and_never_lengthens_it() {
    let layer = heeding().with_timeout(100 * MS);
    for (field, value, time) in [
        ("grpc-timeout", "50m", 50),
        ("grpc-timeout", "50000u", 50),
        ("grpc-timeout", "1H", 100),
        ("grpc-timeout", "99999999H", 100),
        ("grpc-timeout", "0m", 0),
        ("grpc-timeout", "500u", 0),
        ("grpc-timeout", "", 100),
        ("grpc-timeout", "50", 100),
        ("grpc-timeout", "-50m", 100),
        ("grpc-timeout", "000000050m", 100),
        ("x-left-ms", "60", 60),
        ("x-left-ms", "0", 0),
        ("x-left-ms", "99999999999999999999999", 100),
        ("x-left-ms", "1.5", 100),
    ] {
        let world = World::new([answer(200).after(LONG)]);
        let request = grpc().header(field, value).body(String::new()).unwrap();
        let end = sent(&world, &layer, request).await;
        assert_eq!(end, (Err(Failure::HeadTimeout), time), "{field}: {value}");
        // The client's own hurry is nobody's fault, and nothing is sent where no time is left.
        let (calls, blamed) = (usize::from(time > 0), u64::from(time == 100));
        assert_eq!(
            (world.seen().len(), failed(&world)[0]),
            (calls, blamed),
            "{value}"
        );
    }
    // The shorter one of two fields, and neither of the same one.
    for (second, value, time) in [("x-left-ms", "30", 30), ("grpc-timeout", "20m", 100)] {
        let world = World::new([answer(200).after(LONG)]);
        let request = grpc().header("grpc-timeout", "50m").header(second, value);
        let request = request.body(String::new()).unwrap();
        assert_eq!(sent(&world, &layer, request).await.1, time);
    }
}

#[tokio::test(start_paused = true)]
async fn fields_that_are_not_heeded_say_nothing_and_are_passed_on() {
    let layer = RetryLayer::new().with_timeout(100 * MS);
    let world = World::new([answer(200).after(70 * MS)]);
    let request = || {
        grpc()
            .header("grpc-timeout", "50m")
            .header("x-left-ms", "60")
    };
    let end = sent(&world, &layer, request().body(String::new()).unwrap()).await;
    assert_eq!(end, (Ok(200), 70));
    assert_eq!(world.seen()[0].left, ["50m", "60"]);
    // `grpc-timeout` is for gRPC.
    let world = World::new([answer(200).after(70 * MS)]);
    let request = Request::get("/").header("grpc-timeout", "50m");
    let end = sent(&world, &heeding(), request.body(String::new()).unwrap()).await;
    assert_eq!(
        (end.0, &*world.seen()[0].left),
        (Ok(200), &["50m".to_owned()][..])
    );
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_told_what_is_left() {
    let retries = heeding().with_policy(tightrope_retry::RetryOn::default().with_grpc_calls());
    let again = || {
        World::new([
            answer(503).after(30 * MS),
            refuse().after(20 * MS),
            answer(200),
        ])
    };
    let world = again();
    let request = grpc()
        .header("grpc-timeout", "1S")
        .body(String::new())
        .unwrap();
    assert_eq!(sent(&world, &retries, request).await, (Ok(200), 50));
    let left: Vec<_> = world.seen().into_iter().map(|seen| seen.left).collect();
    let told = |us: &str, ms: &str| vec![us.to_owned(), ms.to_owned()];
    assert_eq!(
        left,
        [
            told("1000000u", "1000"),
            told("970000u", "970"),
            told("950000u", "950")
        ]
    );
    // A limit of our own is told as well, and one of an attempt is not: it ends with the head.
    let world = again();
    let layer = retries
        .clone()
        .with_timeout(400 * MS)
        .with_attempt_timeout(300 * MS);
    let request = grpc().body(String::new()).unwrap();
    assert_eq!(sent(&world, &layer, request).await.0, Ok(200));
    assert_eq!(world.seen()[1].left, told("370000u", "370"));
    let world = again();
    assert_eq!(sent(&world, &layer, get()).await.0, Ok(200));
    assert_eq!(world.seen()[2].left, ["350"]);
    // What cannot be read is replaced where there is something to say, and left where not.
    for (layer, left) in [
        (&layer, vec!["400000u", "400"]),
        (&retries, vec!["soon", "1m", "9x"]),
    ] {
        let world = World::new([answer(200)]);
        let request = grpc()
            .header("grpc-timeout", "soon")
            .header("grpc-timeout", "1m");
        let request = request
            .header("x-left-ms", "9x")
            .body(String::new())
            .unwrap();
        assert_eq!(sent(&world, layer, request).await.0, Ok(200));
        assert_eq!(world.seen()[0].left, left);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_not_made_in_the_last_millisecond() {
    let layer = RetryLayer::new().with_timeout(100 * MS);
    let late = Duration::from_micros(99_500);
    tokio::time::advance(Duration::from_micros(500)).await;
    let world = World::new([answer(503).after(late), answer(200)]);
    assert_eq!(world.send(layer.clone(), get()).await, Ok(503));
    assert_eq!(world.seen().len(), 1);
    // Nobody else to ask costs nothing either.
    let world = World::new([answer(503).after(50 * MS), nobody()]);
    assert_eq!(world.send(layer, get()).await, Ok(503));
}
