//! Changes, picks and drops on an upstream of `tightrope-upstream`, against its model.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope-upstream/tests/model/mod.rs"]
mod model;

fuzz_target!(|input: &[u8]| model::run(input));
