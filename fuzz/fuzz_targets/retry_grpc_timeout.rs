//! The values of `grpc-timeout`, against the grammar.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-retry/tests/grpc_timeout.rs"]
mod grpc_timeout;

fuzz_target!(|input: &[u8]| grpc_timeout::check(input));
