//! What the crate does, through its public API. One program, so that it is linked once.

mod aborts;
mod contract;
mod ejection;
mod flows;
mod nginx;
mod verdicts;
mod wire;
