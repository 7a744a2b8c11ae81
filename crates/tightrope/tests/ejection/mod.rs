//! Strategies and detectors together, in paused time: clients that ask again as soon as they are
//! answered, and servers that fail by a plan.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod black_hole;
mod flapping;
mod herd;
mod outage;
mod world;
