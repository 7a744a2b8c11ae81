//! Sends one picked request to its endpoint and streams the response back.

mod body;
mod config;
mod exchange;
mod future;
mod head;
mod preamble;
mod service;
mod upload;

pub(crate) use self::upload::{Outgoing, Upload};
pub use self::{
    body::ForwardBody,
    config::{ForwardConfig, Pseudonym, PseudonymError},
    future::ResponseFuture,
    preamble::Preamble,
    service::Forward,
};
