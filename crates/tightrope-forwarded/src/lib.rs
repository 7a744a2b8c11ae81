//! Who the client is, behind proxies that may be believed and ones that may not.
//!
//! Any client can send `X-Forwarded-For: 127.0.0.1`. [`ForwardedLayer`] believes such a header, or `Forwarded` of
//! RFC 7239, only from the peers named in [`Trust`], puts the [`Client`] it found into the request's extensions, and hands the servers behind it
//! headers that no client had a say in.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response};
//! use tightrope_forwarded::{Client, ForwardedLayer, Peer, Trust};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let trust = Trust::networks(["10.0.0.0/8".parse()?]);
//!     let service = ServiceBuilder::new()
//!         .layer(ForwardedLayer::new(trust))
//!         .service(service_fn(async |request: Request<String>| {
//!             let client = request.extensions().get::<Client>().and_then(Client::address);
//!             let header = &request.headers()["x-forwarded-for"];
//!             Ok::<_, Infallible>(Response::new(format!("{client:?} {header:?}")))
//!         }));
//!
//!     let request = |peer: &str| -> Result<_, Box<dyn std::error::Error>> {
//!         Ok(Request::get("/")
//!             .header("x-forwarded-for", "203.0.113.7, 10.0.0.9")
//!             .extension(Peer::tcp(peer.parse()?)) // the accept loop knows it
//!             .body(String::new())?)
//!     };
//!
//!     // From a load balancer of ours: walked from the right, past 10.0.0.9, which is ours as well.
//!     let response = service.clone().oneshot(request("10.0.0.2:40000")?).await?;
//!     assert_eq!(response.body(), r#"Some(203.0.113.7) "203.0.113.7, 10.0.0.9, 10.0.0.2""#);
//!
//!     // From anybody else: not believed, and not passed on.
//!     let response = service.oneshot(request("198.51.100.1:40000")?).await?;
//!     assert_eq!(response.body(), r#"Some(198.51.100.1) "198.51.100.1""#);
//!     Ok(())
//! }
//! ```
//!
//! | when you want to | use |
//! | --- | --- |
//! | say which proxies may be believed | [`Trust`], [`Cidr`] |
//! | say who is at the other end of a connection | [`Peer`], [`Scheme`]; with axum, see [`Peer`] |
//! | learn the client from a balancer of TCP connections | [`proxy_protocol`] |
//! | rewrite the headers and resolve the client | [`ForwardedLayer`], [`Forwarded`] |
//! | say which header is believed | [`ClientHeader`] |
//! | choose what is written | [`ForwardedFor`], [`IdentityHeader`], [`ForwardedElement`] |
//! | do as nginx, HAProxy or Envoy does | [`ForwardedLayer`], [`Strangers`] |
//! | write `Via`, and stop requests that go in circles | [`ViaLayer`], [`ViaError`] |
//! | read the client in a handler, a hash key or a log | [`Client`], [`Evidence`] |
//!
//! Feature `tokio`: `proxy_protocol::Receiver`, which reads PROXY headers from connections. Default: none.
//!
//! # What it does not do
//!
//! It does not judge or change the `Host` field.

mod cidr;
mod client;
mod element;
mod error;
mod host;
mod layer;
mod names;
mod node;
mod parse;
mod peer;
pub mod proxy_protocol;
mod rewrite;
mod trust;
mod via;

pub use self::cidr::Cidr;
pub use self::client::{Client, ClientHeader, Evidence};
pub use self::element::ForwardedElement;
pub use self::error::{ByError, CidrError, PseudonymError, ViaError};
pub use self::layer::{Forwarded, ForwardedLayer};
pub use self::peer::{Peer, Scheme};
pub use self::rewrite::{ForwardedFor, IdentityHeader, Strangers};
pub use self::trust::Trust;
pub use self::via::{ResponseFuture, Via, ViaLayer};
