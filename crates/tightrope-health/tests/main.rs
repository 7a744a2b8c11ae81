//! What the crate does, through its public API. One program, so that it is linked once.

mod auto_traits;
mod check;
mod grpc;
mod grpc_calls;
mod http;
mod outlier;
mod place;
mod slow_start;
mod tcp;
mod tls;
