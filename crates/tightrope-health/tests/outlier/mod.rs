//! The detection of outliers as a whole, in paused time.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cap;
mod fleet;
mod model;
mod nginx;
mod rows;
mod times;
mod trial;
mod world;
