//! Replays what HAProxy 2.6.12 was seen to choose.

#![expect(clippy::unwrap_used, reason = "a test may fail where its set-up fails")]

use serde_json::Value;
use tightrope_balance::{
    Context,
    haproxy::{Function, HashType, KeyHash, Source},
};

use crate::vectors::replay;

fn hash_type(params: &Value) -> HashType {
    let mut words = params["hash_type"].as_str().unwrap().split(' ');
    let method = match words.next() {
        Some("map-based") => HashType::map_based(),
        Some("consistent") => HashType::consistent(),
        other => panic!("{other:?}"),
    };
    words.fold(method, |hash_type, word| match word {
        "sdbm" => hash_type.with_function(Function::Sdbm),
        "djb2" => hash_type.with_function(Function::Djb2),
        "wt6" => hash_type.with_function(Function::Wt6),
        "crc32" => hash_type.with_function(Function::Crc32),
        "avalanche" => hash_type.with_avalanche(),
        other => panic!("{other}"),
    })
}

fn key(key: &str) -> Context<'_> {
    Context::new().with_key(key.as_bytes())
}

fn client(client: &str) -> Context<'_> {
    Context::new().with_client(client.parse().unwrap())
}

#[test]
fn source_follows_haproxy() {
    replay("haproxy.source", 15, |p| Source::new(hash_type(p)), client);
}

#[test]
fn hash_follows_haproxy() {
    replay("haproxy.hash", 9, |p| KeyHash::new(hash_type(p)), key);
}

#[test]
fn bounded_hash_follows_haproxy() {
    let bounded = |params: &Value| {
        let factor = params["hash_balance_factor"].as_u64().unwrap();
        let strategy = KeyHash::new(hash_type(params));
        strategy.with_hash_balance_factor(u32::try_from(factor).unwrap())
    };
    replay("haproxy.bounded_hash", 2, bounded, key);
}

/// Requests without a key walk the list of a map, which is that of `static-rr`.
#[test]
fn the_list_of_a_map_follows_haproxy() {
    let map = |_: &Value| KeyHash::new(HashType::map_based());
    replay("haproxy.static-rr", 8, map, |_| Context::new());
}
