//! Strategies that send each client where nginx would.
//!
//! For a service that moves here from nginx, or runs beside it, and wants every client to stay
//! where it is. Recorded from nginx 1.22.1. nginx's default, weighted round robin, is
//! [`RoundRobin`](crate::RoundRobin).

mod consistent_hash;
mod ip_hash;
mod key_hash;
mod least_conn;
mod places;
mod random;

pub use self::{
    consistent_hash::ConsistentHash,
    ip_hash::IpHash,
    key_hash::KeyHash,
    least_conn::LeastConn,
    random::{Random, RandomTwo},
};
