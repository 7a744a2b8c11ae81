//! Attempts on other endpoints, where that is safe.
//!
//! [`Retry`] stands before a balancer. When an attempt ends with an error that gives the request
//! back, because it is certain that no byte of it reached an endpoint (the connection could not
//! be made), the request goes again, to an endpoint that was not tried yet. That is safe for every
//! method and every body, and nothing is buffered for it.
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
//! use http::Request;
//! use tightrope_retry::{Retry, attempt};
//! use tightrope_upstream::{Failed, Failure, TakeUnsent, Unsent};
//! use tower::{Service, ServiceExt, service_fn};
//! # use tightrope_upstream::{Change, Endpoint, EndpointSpec, Upstream};
//! # #[derive(Debug)]
//! # struct Refused(Option<Unsent<Request<()>>>);
//! # impl Failed for Refused { fn failure(&self) -> Failure { Failure::Connect } }
//! # impl TakeUnsent<Request<()>> for Refused {
//! #     fn take_unsent(&mut self) -> Option<Unsent<Request<()>>> { self.0.take() }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let upstream = Upstream::new("api");
//! # upstream.apply(Change::new().add(EndpointSpec::new("10.0.0.1:80".parse()?)))?;
//! # let endpoint = Arc::clone(&upstream.snapshot().members()[0]);
//! // Stands for balancer and forwarder; the first endpoint refuses.
//! let inner = service_fn(move |request: Request<()>| {
//!     let (number, endpoint) = (attempt(&request).number(), Arc::clone(&endpoint));
//!     async move {
//!         match number {
//!             1 => Err(Refused(Some(Unsent::new(request, endpoint)))),
//!             _ => Ok(format!("answered at attempt {number}")),
//!         }
//!     }
//! });
//! let mut retry = Retry::new(inner);
//! let answer = retry.ready().await.unwrap().call(Request::new(())).await.unwrap();
//! assert_eq!(answer, "answered at attempt 2");
//! # Ok(())
//! # }
//! ```
//!
//! The balancer learns of earlier attempts by [`attempt`], in the closure that tells it what it may
//! know of a request: `Context::new().with_attempt(attempt(request))`.
//!
//! What this crate does not do yet: send a request again that may have reached an endpoint, hedge,
//! or wait between attempts.

mod service;

pub use crate::service::{ResponseFuture, Retry, RetryLayer};

use http::Request;
use tightrope_upstream::Attempt;

/// Which attempt `request` is: the first, unless [`Retry`] sends it again.
pub fn attempt<B>(request: &Request<B>) -> &Attempt {
    static FIRST: Attempt = Attempt::first();
    request.extensions().get().unwrap_or(&FIRST)
}
