//! Several exchanges at a time, in any order, of which any may be given up at any point.

use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};
use tokio::runtime::Builder;

use super::{
    exchange::{Asks, Exchange, http1, http2},
    people::Person,
    world::{Abort, World},
};

/// Mostly never, else one of the first.
fn sometimes(points: usize) -> impl Strategy<Value = usize> {
    prop_oneof![Just(usize::MAX), 0..points]
}

fn exchange(all: fn() -> Vec<Exchange>) -> impl Strategy<Value = (Exchange, Person, Abort)> {
    let person = prop_oneof![Just(Person::Caller), Just(Person::Client)];
    let kind = (prop::sample::select(all()), person);
    let kind = kind.prop_filter("only a server can be upgraded", |(exchange, person)| {
        *person == Person::Client || !matches!(exchange.request, Asks::WebSocket)
    });
    let points = (
        sometimes(40),
        sometimes(4),
        sometimes(20),
        prop::option::of(0..250_usize),
    );
    let abort = points.prop_map(|(asker, pieces, client, endpoint)| Abort {
        asker,
        pieces,
        client,
        endpoint,
    });
    (kind, abort).prop_map(|((exchange, person), abort)| (exchange, person, abort))
}

/// Lets `exchanges` take place in an order by `seed`.
fn leaves_nothing(exchanges: &[(Exchange, Person, Abort)], seed: u64) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(exchanges[0].0.protocol);
        world.stage.chance = Some(StdRng::seed_from_u64(seed));
        let mut courses = Vec::new();
        for (exchange, person, abort) in exchanges {
            courses.push(world.begin(exchange, *person, *abort));
        }
        world.leaves_nothing(&courses, &(exchanges, seed)).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_stays_of_many_whatever_happens(
        exchanges in prop::collection::vec(exchange(http1), 1..6),
        seed in any::<u64>(),
    ) {
        leaves_nothing(&exchanges, seed);
    }

    #[test]
    fn nothing_stays_of_many_streams_whatever_happens(
        exchanges in prop::collection::vec(exchange(http2), 1..6),
        seed in any::<u64>(),
    ) {
        leaves_nothing(&exchanges, seed);
    }
}
