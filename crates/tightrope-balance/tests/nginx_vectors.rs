//! Replays what nginx 1.22.1 was seen to choose.

use tightrope_balance::{Context, RoundRobin, nginx};

use crate::vectors::replay;

#[test]
fn round_robin_follows_nginx() {
    replay(
        "nginx.round_robin",
        12,
        |_| RoundRobin::new(),
        |_| Context::new(),
    );
}

#[test]
fn ip_hash_follows_nginx() {
    replay(
        "nginx.ip_hash",
        14,
        |_| nginx::IpHash::new(),
        |client| Context::new().with_client(client.parse().unwrap()),
    );
}

#[test]
fn hash_follows_nginx() {
    replay(
        "nginx.hash",
        7,
        |_| nginx::KeyHash::new(),
        |key| Context::new().with_key(key.as_bytes()),
    );
}

#[test]
fn consistent_hash_follows_nginx() {
    replay(
        "nginx.hash_consistent",
        9,
        |_| nginx::ConsistentHash::new(),
        |key| Context::new().with_key(key.as_bytes()),
    );
}

#[test]
fn least_conn_follows_nginx() {
    replay(
        "nginx.least_conn",
        7,
        |_| nginx::LeastConn::new(),
        |_| Context::new(),
    );
}

#[test]
fn random_follows_nginx() {
    replay(
        "nginx.random",
        1,
        |_| nginx::Random::new(),
        |_| Context::new(),
    );
}

#[test]
fn random_two_follows_nginx() {
    replay(
        "nginx.random_two",
        3,
        |_| nginx::RandomTwo::new(),
        |_| Context::new(),
    );
}
