//! Strategies that send each client where nginx would.
//!
//! For a service that moves here from nginx, or runs beside it, and wants every client to stay
//! where it is. Recorded from nginx 1.22.1. nginx's default, weighted round robin, is
//! [`RoundRobin`](crate::RoundRobin).

mod ip_hash;
mod key_hash;
mod places;

pub use self::{ip_hash::IpHash, key_hash::KeyHash};
