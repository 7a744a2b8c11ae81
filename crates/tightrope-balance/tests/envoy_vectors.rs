//! Replays what Envoy 1.40.0 was seen to choose.

#![expect(clippy::unwrap_used, reason = "a test may fail where its set-up fails")]

use serde_json::Value;
use tightrope_balance::{
    Context,
    envoy::{HashFunction, LeastRequest, Maglev, RingHash},
};

use crate::vectors::replay;

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn maglev(params: &Value) -> Maglev {
    Maglev::new().with_table_size(number(&params["table_size"]))
}

fn ring_hash(params: &Value) -> RingHash {
    let function = match params["hash_function"].as_str().unwrap() {
        "MURMUR_HASH_2" => HashFunction::Murmur2,
        _ => HashFunction::XxHash,
    };
    RingHash::new()
        .with_hash_function(function)
        .with_minimum_ring_size(number(&params["minimum_ring_size"]))
        .with_maximum_ring_size(number(&params["maximum_ring_size"]))
}

fn key(key: &str) -> Context<'_> {
    Context::new().with_key(key.as_bytes())
}

#[test]
fn maglev_follows_envoy() {
    replay("envoy.maglev", 6, maglev, key);
}

#[test]
fn bounded_maglev_follows_envoy() {
    let factor = |params: &Value| number(&params["hash_balance_factor"]);
    let bounded = move |params: &Value| maglev(params).with_hash_balance_factor(factor(params));
    replay("envoy.maglev_bounded", 1, bounded, key);
}

#[test]
fn ring_hash_follows_envoy() {
    replay("envoy.ring_hash", 6, ring_hash, key);
}

#[test]
fn bounded_ring_hash_follows_envoy() {
    let factor = |params: &Value| number(&params["hash_balance_factor"]);
    let bounded = move |params: &Value| ring_hash(params).with_hash_balance_factor(factor(params));
    replay("envoy.ring_hash_bounded", 1, bounded, key);
}

#[test]
fn least_request_follows_envoy() {
    let choices = |params: &Value| number(&params["choice_count"]);
    let least_request = move |params: &Value| LeastRequest::new().with_choices(choices(params));
    replay("envoy.least_request", 3, least_request, |_| Context::new());
}
