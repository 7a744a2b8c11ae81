//! Lines of `Forwarded`, one a line of the input, from a trusted peer through the layer of `tightrope-forwarded`,
//! against its reference: walked by networks, the nearest entry alone, and by counted hops.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-forwarded/tests/reference/mod.rs"]
mod reference;
#[path = "../../crates/tightrope-forwarded/tests/rfc7239.rs"]
mod rfc7239;

fuzz_target!(|input: &[u8]| rfc7239::check(input));
