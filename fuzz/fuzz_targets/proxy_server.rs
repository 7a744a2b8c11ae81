//! Bytes of clients through `StrictRequests` of `tightrope-proxy`, against the reference.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-proxy/tests/reference/server.rs"]
mod server;

fuzz_target!(|input: &[u8]| server::check(input));
