//! What the crate does, through its public API. One program, so that it is linked once.

mod auto_traits;
mod budget;
mod replay;
mod retry;
mod world;
