//! Routes and their patterns of `tightrope-proxy`, against the reference.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-proxy/tests/reference/patterns.rs"]
mod patterns;

fuzz_target!(|input: &[u8]| patterns::check(input));
