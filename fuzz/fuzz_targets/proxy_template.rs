//! Templates of `tightrope-proxy`, against the reference.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-proxy/tests/reference/template.rs"]
mod template;

fuzz_target!(|input: &[u8]| template::check(input));
