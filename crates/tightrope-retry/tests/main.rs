//! What the crate does, through its public API. One program, so that it is linked once.

mod allocations;
mod auto_traits;
mod backoff;
mod budget;
mod cancel;
mod deadlines;
mod grpc_timeout;
mod hedge;
mod properties;
mod replay;
mod retry;
mod world;
