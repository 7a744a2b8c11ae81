//! Connections to endpoints.

mod cache;
mod connect;

pub(crate) use self::{
    cache::Pool,
    connect::{ConnectError, connect},
};
