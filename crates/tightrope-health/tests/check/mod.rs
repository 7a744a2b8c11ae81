//! The health check as a whole: probes that answer as they are told, in paused time.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod crowd;
mod intervals;
mod live;
mod members;
mod schedule;
mod scripted;
mod settings;
mod shared;
mod verdicts;
