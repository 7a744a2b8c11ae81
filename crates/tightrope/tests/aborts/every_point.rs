//! Each kind of exchange, given up at each point at which somebody waits.

use std::{rc::Rc, time::Duration};

use super::{
    exchange::{Asks, Exchange, http1, http2},
    people::Person,
    world::{Abort, World},
};

/// Fewer would mean that hardly anything happens.
const POINTS_OF_ASKER: usize = 500;
const POINTS_OF_CLIENT: usize = 300;
const POINTS_OF_ENDPOINT: usize = 3_000;

/// Runs `exchange` with `abort`; how often the asker and the client were polled, and how much the
/// endpoints did.
async fn run(exchange: &Exchange, person: Person, abort: Abort) -> [usize; 3] {
    let mut world = World::new(exchange.protocol);
    let course = world.begin(exchange, person, abort);
    let scene = Rc::clone(&world.scene);
    let courses = [course];
    world
        .leaves_nothing(&courses, &(exchange.name, person, abort))
        .await;
    let [course] = courses;
    [
        course.asker.polls.get(),
        course.client.polls.get(),
        scene.ticks.get(),
    ]
}

fn kinds() -> Vec<(Exchange, Person)> {
    let mut kinds = Vec::new();
    for exchange in http1().into_iter().chain(http2()) {
        kinds.push((exchange.clone(), Person::Client));
        // Only a server can be upgraded.
        if !matches!(exchange.request, Asks::WebSocket) {
            kinds.push((exchange, Person::Caller));
        }
    }
    kinds
}

#[tokio::test(start_paused = true)]
async fn each_exchange_comes_to_what_it_should() {
    for (exchange, person) in kinds() {
        let mut world = World::new(exchange.protocol);
        let course = world.begin(&exchange, person, Abort::NEVER);
        let status = Rc::clone(&course.status);
        let is_over = || course.asker.is_over.get() && course.client.is_over.get();
        assert!(world.stage.until(Duration::from_secs(1), is_over).await);
        let came_to = (status.borrow().unwrap_or_default(), world.attempts());
        assert_eq!(came_to, exchange.comes_to, "{} {person:?}", exchange.name);
        world.leaves_nothing(&[course], &exchange.name).await;
    }
}

/// Runs `exchange` with an abort at each point from 0 on, until one is never reached; how many were.
async fn at_each(
    exchange: &Exchange,
    person: Person,
    abort: impl Fn(usize) -> Abort,
    reached: impl Fn([usize; 3]) -> usize,
) -> usize {
    let mut point = 0;
    while reached(run(exchange, person, abort(point)).await) >= point {
        point += 1;
    }
    point
}

#[tokio::test(start_paused = true)]
async fn nothing_stays_of_what_is_dropped_at_any_poll() {
    let mut points = 0;
    for (exchange, person) in kinds() {
        let abort = |asker| Abort {
            asker,
            ..Abort::NEVER
        };
        points += at_each(&exchange, person, abort, |[asker, ..]| asker).await;
    }
    eprintln!("POINTS {points}");
    assert!(points > POINTS_OF_ASKER, "{points}");
}

#[tokio::test(start_paused = true)]
async fn nothing_stays_when_the_client_goes_at_any_point() {
    let mut points = 0;
    for (exchange, person) in kinds() {
        if person == Person::Client {
            let abort = |client| Abort {
                client,
                ..Abort::NEVER
            };
            points += at_each(&exchange, person, abort, |[_, client, _]| client).await;
            continue;
        }
        for pieces in 0..=exchange.request.pieces().len() {
            let abort = Abort {
                pieces,
                ..Abort::NEVER
            };
            run(&exchange, person, abort).await;
            points += 1;
        }
    }
    eprintln!("POINTS {points}");
    assert!(points > POINTS_OF_CLIENT, "{points}");
}

#[tokio::test(start_paused = true)]
async fn nothing_stays_when_an_endpoint_goes_after_any_byte() {
    let mut points = 0;
    // By way of the caller it is the same for the endpoint.
    let kinds = kinds().into_iter();
    for (exchange, person) in kinds.filter(|(_, person)| *person == Person::Client) {
        let abort = |death| Abort {
            endpoint: Some(death),
            ..Abort::NEVER
        };
        points += at_each(&exchange, person, abort, |[.., endpoint]| endpoint).await;
    }
    eprintln!("POINTS {points}");
    assert!(points > POINTS_OF_ENDPOINT, "{points}");
}
