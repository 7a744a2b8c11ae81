//! Clients of `Http2` of `tightrope-proxy`: raw bytes, or frames most of which are right, at the pace and with the habits that the
//! input says.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-proxy/tests/reference/frames.rs"]
mod frames;
#[path = "../../crates/tightrope-proxy/tests/reference/server_http2.rs"]
mod server_http2;

fuzz_target!(|input: &[u8]| {
    server_http2::check(input);
});
