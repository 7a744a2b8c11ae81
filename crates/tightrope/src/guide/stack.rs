//! The order of the layers.
//!
//! ```text
//! request -> forwarded -> route -> retry -> balance -> observe -> forward -> endpoint
//! ```
//!
//! - **forwarded** comes first: everything after it, routes and hash keys included, may rely on the
//!   client's address, and nothing a client wrote reaches an endpoint as if we had written it.
//! - **route** chooses the upstream, before anything is counted for one.
//! - **retry** stands before **balance**, so that each attempt is a pick of its own: another endpoint,
//!   another place in flight.
//! - **observe** stands behind **balance**, since it must know which endpoint a failure belongs to.
//! - **forward** owns the pick from then on. It is given back at the end of the response body or of the
//!   tunnel, or when either is dropped: a layer outside must not buffer or detach bodies, or an
//!   endpoint looks busy for longer than it is.
//!
//! Limits and timeouts of tower go around the whole stack. What they cut is dropped, and a drop gives
//! the place back: no layer needs to know.
//!
//! Long bodies can go from socket to socket without being copied, through all of these layers, where
//! [`proxy::server`](crate::proxy::server) stands in front:
//! [`Spliced`](crate::proxy::splice::Spliced) around the bodies of both directions asks for that.
//!
//! ```
//! use http::Request;
//! use http_body_util::Empty;
//! use std::time::Duration;
//! use tightrope::{
//!     balance::{Balance, Context, LeastRequest},
//!     forwarded::{Client, ForwardedLayer, Trust},
//!     health::{HealthCheck, HttpProbe, ObserveLayer},
//!     proxy::{Forward, ForwardConfig, HttpClassify, respond},
//!     retry::{Replay, Retry, attempt},
//!     upstream::{Change, EndpointSpec, Upstream},
//! };
//! use tower::{Layer, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Nobody listens there.
//! let upstream = Upstream::new("api");
//! upstream.apply(Change::new().add(EndpointSpec::new("127.0.0.1:1".parse()?)))?;
//!
//! let health = HealthCheck::new(&upstream, HttpProbe::get("/infra/health")?)
//!     .with_interval(Duration::from_secs(10))?
//!     .spawn(); // ends when it is dropped
//! let observe = ObserveLayer::new(health.live_reports(), HttpClassify);
//! let forward = observe.layer(Forward::new(ForwardConfig::new()));
//!
//! type Body = Empty<bytes::Bytes>;
//! let balance = Balance::new(&upstream, LeastRequest::new(), forward);
//! let balance = balance.with_context(|request: &Request<Replay<Body>>| {
//!     let context = Context::new().with_attempt(attempt(request));
//!     let client = request.extensions().get().and_then(Client::address);
//!     match client {
//!         Some(client) => context.with_client(client),
//!         None => context,
//!     }
//! });
//! let stack = ServiceBuilder::new()
//!     .layer(ForwardedLayer::new(Trust::nobody()))
//!     .service(Retry::new(balance));
//!
//! let request = Request::get("/").header("host", "api.test").body(Body::new())?;
//! let error = stack.oneshot(request).await.err().ok_or("somebody answered")?;
//! // One place turns what went wrong into an answer for the client.
//! assert_eq!(respond::response(&error).status(), 502);
//! # Ok(())
//! # }
//! ```
