//! In-process load balancing for Rust services: balance over a set of endpoints that can be swapped
//! at any time, without ever losing a request.
//!
//! ```
//! use std::convert::Infallible;
//! use tightrope::{
//!     balance::{Balance, LeastRequest},
//!     upstream::{Change, EndpointSpec, Picked, Upstream},
//! };
//! use tower::{Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::new("api");
//! upstream.apply(
//!     Change::new()
//!         .add(EndpointSpec::new("10.0.0.1:8080".parse()?))
//!         .add(EndpointSpec::new("10.0.0.2:8080".parse()?)),
//! )?;
//! // Stands for whatever talks to an endpoint, such as `proxy::Forward`.
//! let send = service_fn(|picked: Picked<&'static str>| async move {
//!     Ok::<_, Infallible>(picked.endpoint().id().to_string())
//! });
//! let mut balance = Balance::new(&upstream, LeastRequest::new(), send);
//! let answered_by = balance.ready().await?.call("GET /").await?;
//! assert!(answered_by.starts_with("10.0.0."));
//! # Ok(())
//! # }
//! ```
//!
//! Each module is a crate of its own, for those who want only that one:
//!
//! | module | when you want | feature |
//! | --- | --- | --- |
//! | [`upstream`] | a set of endpoints, changed by transactions, drained | always |
//! | [`balance`] | to choose an endpoint for a request | always; `http-body`, `orca` |
#![cfg_attr(
    feature = "health",
    doc = "| [`health`] | sick endpoints skipped and brought back | `health`, `health-grpc`, `health-http`, `health-regex`, `health-tls` |"
)]
#![cfg_attr(
    feature = "retry",
    doc = "| [`retry`] | attempts on other endpoints | `retry` |"
)]
#![cfg_attr(
    feature = "forwarded",
    doc = "| [`forwarded`] | the real client address, unforged | `forwarded`, `forwarded-tokio` |"
)]
#![cfg_attr(
    feature = "proxy",
    doc = "| [`proxy`] | HTTP forwarded to the chosen endpoint | `proxy`, `proxy-tls` |"
)]
#![cfg_attr(
    feature = "discover",
    doc = "| [`discover`] | endpoints from elsewhere | `discover`, `discover-file` |"
)]
#![cfg_attr(
    feature = "rollout",
    doc = "| [`rollout`] | blue/green with a gate and a way back | `rollout` |"
)]
//!
//! The feature `full` turns all of them on. What it takes to put them together is in [`guide`].

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod guide;

pub use tightrope_balance as balance;
#[cfg(feature = "discover")]
pub use tightrope_discover as discover;
#[cfg(feature = "forwarded")]
pub use tightrope_forwarded as forwarded;
#[cfg(feature = "health")]
pub use tightrope_health as health;
#[cfg(feature = "proxy")]
pub use tightrope_proxy as proxy;
#[cfg(feature = "retry")]
pub use tightrope_retry as retry;
#[cfg(feature = "rollout")]
pub use tightrope_rollout as rollout;
pub use tightrope_upstream as upstream;
