//! Networks in CIDR notation, against the reference.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-forwarded/tests/networks.rs"]
mod networks;

fuzz_target!(|input: &[u8]| networks::check(input));
