//! One service per endpoint, behind one balancer.
//!
//! [`Balance`](crate::Balance) calls a single service with each request and its pick. Where the
//! client at hand is one service for each server (a tonic channel, an HTTP/2 connection, a pooled
//! client with settings of its own), [`PerEndpoint`] stands between the two.
//!
//! | when an attempt is over with | use |
//! | --- | --- |
//! | its response | [`PerEndpoint::new`] |
//! | the end of its body (HTTP, gRPC) | `PerEndpoint::until_body_end`, feature `http-body` |

#[cfg(feature = "http-body")]
mod body;
mod future;
mod hold;
mod service;
mod services;

#[cfg(feature = "http-body")]
pub use self::{body::HeldBody, hold::UntilBodyEnd};
pub use self::{
    future::ResponseFuture,
    hold::{Hold, UntilResponse},
    service::{OkIsSuccess, PerEndpoint},
};
