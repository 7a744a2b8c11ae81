//! Attempts on other endpoints, where that is safe.
//!
//! [`Retry`] stands before a balancer and sends a request again, to an endpoint that was not tried
//! yet:
//!
//! - Whatever it is, when an attempt ends with an error that gives the request back, because it is
//!   certain that no byte of it reached an endpoint (the connection could not be made). Nothing is
//!   buffered for that.
//! - When it may have been sent, only if carrying it out twice does no harm (RFC 9110 §9.2.2), its
//!   body is short enough to be [kept](Replay), the result is one of the [`Condition`]s, and
//!   the [`Budget`] has something left. Where the endpoint closed a connection that was idle just as the
//!   request went out on it, the first two are enough.
//!
//! When there is nobody else to try the client gets what came of the last attempt: a 503 stays that
//! 503. Where the next attempt waits in a queue, the response before it is let go with its place on its
//! endpoint, and the client gets what came of the waiting.
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
//! use http::{Request, Response, StatusCode};
//! use tightrope_retry::{Replay, Retry, attempt};
//! use tightrope_upstream::{Failed, Failure, TakeUnsent, Unsent};
//! use tower::{Service, ServiceExt, service_fn};
//! # #[derive(Debug)]
//! # struct Never;
//! # impl Failed for Never { fn failure(&self) -> Failure { Failure::Local } }
//! # impl<R> TakeUnsent<R> for Never { fn take_unsent(&mut self) -> Option<Unsent<R>> { None } }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Stands for balancer and forwarder; the first endpoint is overloaded.
//! let inner = service_fn(async |request: Request<Replay<String>>| {
//!     let number = attempt(&request).number();
//!     let mut response = Response::new(format!("answered at attempt {number}"));
//!     if number == 1 {
//!         *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//!     }
//!     Ok::<_, Never>(response)
//! });
//! let mut retry = Retry::new(inner);
//! let request = Request::new(String::new());
//! let answer = retry.ready().await.unwrap().call(request).await.unwrap();
//! assert_eq!(answer.body(), "answered at attempt 2");
//! # Ok(())
//! # }
//! ```
//!
//! The balancer learns of earlier attempts by [`attempt`], in the closure that tells it what it may
//! know of a request: `Context::new().with_attempt(attempt(request))`, and tells through the same
//! where it sends the request.
//!
//! | when you want | use |
//! | --- | --- |
//! | to send requests again | [`RetryLayer`], [`Retry`] |
//! | to say which, and after what | [`RetryOn`], [`Condition`], or a [`Policy`] of your own |
//! | to bound the load that this adds | [`Budget`] |
//! | to wait in between | [`Backoff`] |
//! | not to wait for the slowest | [`Hedge`] |
//! | to say how long all of it may take | [`RetryLayer::with_timeout`], [`RetryLayer::with_attempt_timeout`] |
//! | to heed and pass on how long clients wait | [`Deadlines`] |
//!
//! What this crate does not do: choose the endpoint, or tell what an attempt came to. A response that has
//! begun is never taken back, so one that breaks in its body is not sent again.

mod backoff;
mod budget;
mod deadline;
mod error;
mod grpc_timeout;
mod hedge;
mod latency;
mod policy;
mod replay;
mod service;

pub use crate::{
    backoff::{Backoff, BackoffError},
    budget::{Budget, BudgetError},
    deadline::{DeadlineError, Deadlines},
    error::RetryError,
    grpc_timeout::{GrpcTimeout, GrpcTimeoutError},
    hedge::{Hedge, HedgeError},
    policy::{Condition, ConditionError, Policy, RetryOn},
    replay::Replay,
    service::{ResponseFuture, Retry, RetryLayer},
};

use http::Request;
use tightrope_upstream::Attempt;

/// Which attempt `request` is: the first, unless [`Retry`] sends it again.
pub fn attempt<B>(request: &Request<B>) -> &Attempt {
    static FIRST: Attempt = Attempt::first();
    request.extensions().get().unwrap_or(&FIRST)
}
