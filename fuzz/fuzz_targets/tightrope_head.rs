//! Bytes of a client, through the whole proxy, as the strictest of endpoints reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/tightrope/tests/wire/head.rs"]
mod head;
#[path = "../../crates/tightrope/tests/wire/message.rs"]
mod message;
#[path = "../../crates/tightrope-forwarded/tests/reference/names.rs"]
mod names;
#[path = "../../crates/tightrope/tests/wire/stack.rs"]
mod stack;

fuzz_target!(|input: &[u8]| head::check(input));
