//! Forwards one picked HTTP request to its endpoint, over HTTP/1.1 or HTTP/2.
//!
//! [`Forward`] is the innermost service of a reverse proxy: it takes a request that a balancer
//! bound to an endpoint, sends it over a connection of its own pool, and streams the response
//! back. Bodies, trailers and tunnels pass through without being collected, and the pick is
//! released when the last of them ended.
//!
//! ```
//! use tightrope_proxy::{Forward, ForwardConfig};
//! use tightrope_upstream::{Change, EndpointSpec, Picked, Upstream};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpListener};
//! use tower_service::Service;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // An endpoint.
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?.to_string();
//! tokio::spawn(async move {
//!     let (mut connection, _) = listener.accept().await?;
//!     let mut request = vec![0; 1024];
//!     let _read = connection.read(&mut request).await?;
//!     connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await
//! });
//!
//! let upstream = Upstream::new("api");
//! upstream.apply(Change::new().add(EndpointSpec::new(address.parse()?)))?;
//!
//! // What a balancer does: choose, and bind the request to the choice.
//! let pick = upstream.snapshot().members()[0].pick().expect("it is in service");
//! let request = http::Request::get("/").header("host", "api.test").body(String::new())?;
//!
//! let mut forward = Forward::new(ForwardConfig::new());
//! let response = forward.call(Picked::new(request, pick)).await?;
//! assert_eq!(response.status(), 204);
//! # Ok(())
//! # }
//! ```
//!
//! | when you want to | use |
//! | --- | --- |
//! | forward a picked request | [`Forward`], [`ForwardConfig`], [`ForwardBody`] |
//! | speak HTTP/2 with endpoints | [`Protocol`] |
//! | have connections before they are needed, and see how many there are | [`Forward::keep_warm`], [`Forward::connections`] |
//! | say which `Host`, `Via` and upgrades an endpoint sees | [`HostPolicy`], [`Pseudonym`], [`Upgrades`] |
#![cfg_attr(
    feature = "tls",
    doc = "| reach endpoints over TLS | [`ClientTls`], [`ClientTlsError`] |"
)]
//! | send a header of the PROXY protocol to an endpoint | [`Preamble`] |
//! | pass on WebSockets of clients of HTTP/2 | [`ExtendedConnectLayer`] |
//! | refuse what must not be forwarded, before anything is picked | [`check_request`], [`RequestError`] |
//! | answer clients of HTTP/1.1, without repairing what they send | [`server::Http1`] |
//! | answer clients of HTTP/2, each within a budget | [`server::Http2`] |
//! | say what becomes of `X_Forwarded_For` and other names with underscores | [`Underscores`] |
//! | choose an upstream by host and path | [`Routes`], [`HostPattern`], [`PathPrefix`], [`ExactPath`] |
//! | change header fields and paths, redirect to https, limit bodies | [`rewrite`] |
//! | answer a client when no response came, or with a status of your own | [`respond`] |
//! | end transfers that are too slow, and clients that do not read | [`MinRate`], [`WriteTimeout`] |
//! | move long bodies without copying them | [`splice`] |
//! | close a connection on which the client is still sending, without losing the answer | [`LingeringStream`], [`LingeringClose`] |
//! | feed outcomes into health and load | [`HttpClassify`] |
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `tls` | no | `ClientTls`: TLS with endpoints, with SNI and client certificates, by rustls, ring and the system's certificates |
//!
//! # What it does not do
//!
//! It does not choose an endpoint (`tightrope-balance`), does not try another one
//! (`tightrope-retry`), does not write `X-Forwarded-*` (`tightrope-forwarded`), does not cache, does
//! not listen. `100 Continue` of an endpoint is not passed on: [`server`] says it when a body is first read. It must be
//! called within a tokio runtime.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod check;
mod classify;
mod error;
mod extended_connect;
mod forward;
mod h1;
mod h2;
mod hop_by_hop;
mod host;
mod io;
mod linger;
mod pool;
mod protocol;
pub mod respond;
pub mod rewrite;
mod route;
pub mod server;
pub mod splice;
mod timeout;
#[cfg(feature = "tls")]
mod tls;
mod underscores;
mod upgrade;

#[cfg(feature = "tls")]
pub use crate::tls::{ClientTls, ClientTlsError};
pub use crate::{
    check::{RequestError, check_request},
    classify::HttpClassify,
    error::ForwardError,
    extended_connect::{ExtendedConnect, ExtendedConnectFuture, ExtendedConnectLayer},
    forward::{
        Forward, ForwardBody, ForwardConfig, Preamble, Pseudonym, PseudonymError, ResponseFuture,
    },
    host::{HostError, HostPolicy},
    linger::{LingeringClose, LingeringStream},
    pool::{Connections, KeepWarm},
    protocol::Protocol,
    route::{ExactPath, HostPattern, PathPrefix, PatternError, RouteError, Routes},
    timeout::{MinRate, WriteTimeout},
    underscores::Underscores,
    upgrade::Upgrades,
};
