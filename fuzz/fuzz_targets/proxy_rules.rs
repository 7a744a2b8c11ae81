//! Header rules of `tightrope-proxy`, against the reference.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-proxy/tests/reference/rules.rs"]
mod rules;

fuzz_target!(|input: &[u8]| rules::check(input));
