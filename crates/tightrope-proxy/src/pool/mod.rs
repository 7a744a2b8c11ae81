//! Connections to endpoints.

mod cache;
mod connect;
mod connection;
mod key;

pub(crate) use self::{
    cache::Pool,
    connect::{ConnectError, connect},
    connection::Connection,
    key::Key,
};
