//! The pieces put together, on real sockets: what a service gets that composes them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod deadlines;
mod drain;
mod failover;
mod leaks;
mod load;
mod retries;
mod rollout;
mod switch;
mod world;
