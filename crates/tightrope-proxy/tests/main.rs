//! What the crate does, through its public API. One program, so that it is linked once.

mod auto_traits;
mod forward;
mod http2;
mod patience;
mod picks;
mod pool;
mod pool_bounds;
mod preamble;
mod reference;
mod regressions;
mod rewrite;
mod server;
mod server_http2;
#[cfg(target_os = "linux")]
mod splice;
mod strict;
mod support;
mod timeouts;
mod tls;
mod upgrade;
