//! Wherever a request is given up, nothing of it stays: not in flight, not in a queue, not as a
//! connection, a task or a retry that was paid for.
//!
//! Everybody here is polled by hand, so that each of them can go at every point at which it waits.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod chance;
mod circle;
mod count;
mod endpoint;
mod every_point;
mod exchange;
mod http2;
mod people;
mod stage;
mod world;
