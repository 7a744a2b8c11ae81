//! Bytes as headers of the PROXY protocol, through the parser of `tightrope-forwarded`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-forwarded/tests/proxy_protocol/laws.rs"]
mod laws;

fuzz_target!(|input: &[u8]| laws::check(input));
