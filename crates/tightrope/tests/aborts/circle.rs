//! Requests that want what the others have.

use std::{rc::Rc, time::Duration};

use tightrope::proxy::Protocol;

use super::{
    endpoint::{
        Step::{Head, Write},
        WELL,
    },
    exchange::{Asks, Exchange, SICK},
    people::Person,
    world::{Abort, World},
};

#[tokio::test(start_paused = true)]
async fn retries_do_not_wait_for_places_that_they_hold_themselves() {
    let mut world = World::new(Protocol::Http1);
    // Each of two endpoints, with room for one request, gives a bad answer first.
    let scripts = [SICK, SICK, WELL, WELL].map(|answer| vec![Head, Write(answer)]);
    let first = Exchange {
        name: "two at a time",
        protocol: Protocol::Http1,
        request: Asks::Get,
        scripts: scripts.to_vec(),
        full: 0,
        comes_to: (200, 2),
    };
    let second = Exchange {
        scripts: vec![],
        ..first.clone()
    };
    let courses =
        [first, second].map(|exchange| world.begin(&exchange, Person::Caller, Abort::NEVER));
    let fates = courses.each_ref().map(|course| Rc::clone(&course.asker));
    // The queue allows a minute.
    let are_over = || fates.iter().all(|fate| fate.is_over.get());
    assert!(world.stage.until(Duration::from_secs(1), are_over).await);
    assert_eq!(world.attempts(), 4);
    for course in &courses {
        assert_eq!(*course.status.borrow(), Some(200));
    }
    world.leaves_nothing(&courses, &"two at a time").await;
}
