//! TLS with endpoints.

mod client;
mod error;
mod unverified;

pub use self::{client::ClientTls, error::ClientTlsError};
pub(crate) use self::{client::Stream, error::HandshakeError};
