//! What endpoints get to read, whatever clients send.

#[path = "../../../tightrope-forwarded/tests/generate.rs"]
mod generate;
mod head;
mod message;
mod properties;
#[path = "../../../tightrope-forwarded/tests/reference/mod.rs"]
mod reference;
mod regressions;
mod stack;

use self::reference::names;
