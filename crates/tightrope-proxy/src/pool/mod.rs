//! Connections to endpoints.

mod cache;
mod connect;
mod connection;

pub(crate) use self::{
    cache::Pool,
    connect::{ConnectError, connect},
    connection::Connection,
};
