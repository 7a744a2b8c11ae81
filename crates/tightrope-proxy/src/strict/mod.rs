//! Reads what clients send over HTTP/1.1 strictly, before a server reads it.

mod field;
mod scanner;
mod size;
mod stream;

pub use self::stream::{StrictRequests, Tunnelled};
