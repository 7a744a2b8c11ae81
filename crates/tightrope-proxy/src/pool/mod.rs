//! Connections to endpoints.

mod cache;
mod connect;
mod key;

pub(crate) use self::{
    cache::Pool,
    connect::{ConnectError, connect},
    key::Key,
};

/// The sending half of a connection of HTTP/1.1. Its task ends when this is dropped.
pub(crate) type Connection = hyper::client::conn::http1::SendRequest<crate::forward::Outgoing>;
