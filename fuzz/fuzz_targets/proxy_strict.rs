//! Bytes of clients through `StrictRequests` of `tightrope-proxy`, against the reference.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-proxy/tests/reference/strict.rs"]
mod strict;

fuzz_target!(|input: &[u8]| strict::check(input));
