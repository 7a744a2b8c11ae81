//! Header lists, peers, trust and settings through the layer of `tightrope-forwarded`, against its reference.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-forwarded/tests/reference/mod.rs"]
mod reference;

fuzz_target!(|input: &[u8]| reference::check(input));
