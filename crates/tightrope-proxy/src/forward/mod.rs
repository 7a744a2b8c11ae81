//! Sends one picked request to its endpoint and streams the response back.

mod answer;
mod body;
mod config;
mod departing;
mod exchange;
mod future;
mod head;
mod http1;
mod http2;
mod preamble;
mod service;
mod upload;

pub use self::{
    body::ForwardBody,
    config::{ForwardConfig, Pseudonym, PseudonymError},
    future::ResponseFuture,
    preamble::Preamble,
    service::Forward,
};
pub(crate) use self::{
    service::Shared,
    upload::{First, Outgoing, Pace, Upload},
};
