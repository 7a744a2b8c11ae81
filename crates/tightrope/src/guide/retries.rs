//! What is sent again, when, and how much of that there may be.
//!
//! A retry hides a failure of one endpoint behind another one that is well. It is safe where nothing of the
//! request was sent, or where carrying it out twice does no more than once, and it is useful
//! where somebody else may do better. Everything else makes a bad day worse.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use tightrope::{
//!     balance::{Balance, Context, PeakEwma},
//!     proxy::{Forward, ForwardConfig},
//!     retry::{Budget, Hedge, RetryLayer, attempt},
//!     upstream::Upstream,
//! };
//! use tower::Layer;
//!
//! let upstream = Upstream::new("api");
//! // Each attempt gets this long to begin its answer: a request that hangs goes elsewhere after it.
//! let forward = Forward::new(ForwardConfig::new().with_head_timeout(Duration::from_secs(3)));
//! let balance = Balance::new(&upstream, PeakEwma::new(), forward)
//!     .with_context(|request: &http::Request<_>| Context::new().with_attempt(attempt(request)));
//! let api = RetryLayer::new()
//!     .with_attempts(3)
//!     .with_budget(Budget::new(20)?)
//!     .with_hedge(Hedge::at_percentile(95)?)
//!     .layer(balance);
//! # fn is<S: tower::Service<http::Request<String>>>(_: S) {}
//! # is(api);
//! # Ok(())
//! # }
//! ```
//!
//! # What goes again
//!
//! | what happened | any request | idempotent, with a body that is kept |
//! | --- | --- | --- |
//! | no connection could be made | elsewhere | elsewhere |
//! | an endpoint of HTTP/2 says that it did nothing of it | elsewhere, unless its body is on the way | elsewhere |
//! | a pooled connection was closed just then | no | elsewhere, or the same endpoint if it is the only one |
//! | the connection ended before an answer | no | elsewhere, if listed and within the budget |
//! | no answer in time | no | elsewhere, if listed and within the budget |
//! | 502, 503, 504, gRPC `UNAVAILABLE` | no | elsewhere, if listed and within the budget |
//! | the answer began, and broke | no | no: a part of it is with the client already |
//!
//! Listed are those by default. Idempotent are GET, HEAD, OPTIONS, TRACE, PUT and DELETE (RFC 9110 §9.2.2); name
//! POST only where the service knows a repetition when it sees one. Without anybody else to ask, the client gets what came.
//!
//! # Tuning
//!
//! - **Retries pile up when all is slow.** They cannot: the budget, 20 percent of the requests of the last ten
//!   seconds, and 10 a second so that quiet services have some. Give several upstreams clones of one
//!   budget if they share what is behind them, and retry in one place of a chain of services only: three
//!   attempts at each of three levels are twenty-seven.
//! - **Clients still see a server hang.** The head timeout is the time that each attempt gets. Or hedge: the second copy goes out long
//!   before, at the cost of some load. [`Hedge::at_percentile`](crate::retry::Hedge::at_percentile) with 95 adds five percent.
//! - **All endpoints fail for the same reason.** Add a [`Backoff`](crate::retry::Backoff); retries at once only spend the budget then.
//! - **Large uploads are not retried.** They would have to be kept: raise
//!   [`with_body_limit`](crate::retry::RetryLayer::with_body_limit), and reckon with that much for each of them.
//!
//! # How long it may take
//!
//! [`RetryLayer::with_timeout`] limits a request as a whole, its response included, and
//! [`RetryLayer::with_attempt_timeout`] each attempt until the head of its response. The timeouts of
//! [`ForwardConfig`](crate::proxy::ForwardConfig) are about who stands still, and apply besides.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use http::HeaderName;
//! use tightrope::retry::{Deadlines, RetryLayer};
//!
//! let deadlines = Deadlines::new()
//!     .with_grpc_timeout()
//!     .with_milliseconds(HeaderName::from_static("x-envoy-expected-rq-timeout-ms"))?;
//! let api = RetryLayer::new()
//!     .with_timeout(Duration::from_secs(15))
//!     .with_attempt_timeout(Duration::from_secs(5))
//!     .with_deadlines(deadlines);
//! # let _ = api;
//! # Ok(())
//! # }
//! ```
//!
//! - Set the time of an attempt so that two fit into that of the request, or there is none left for a retry.
//! - Clients may say in a header how long they wait: that shortens the time and never lengthens it, and endpoints get what
//!   is left of it with each attempt. A client in a hurry is held against nobody, so an endpoint that hangs is found out by the time
//!   of an attempt alone where all clients are.
//! - Uploads count. Leave out both where large ones are expected, and let the timeouts of `ForwardConfig` see to those who stall.
//! - Answer with [`Form`](crate::proxy::respond::Form): gRPC clients get `DEADLINE_EXCEEDED`, others 504.
//!
//! # From nginx
//!
//! | in nginx | here |
//! | --- | --- |
//! | `proxy_next_upstream error timeout` | [`Condition::Reset`], [`Condition::HeadTimeout`]; a connection that could not be made always |
//! | `invalid_header`, `http_503` | [`Condition::InvalidResponse`], [`Condition::Status`] |
//! | `non_idempotent` | [`RetryOn::with_method`] for POST, LOCK and PATCH |
//! | `proxy_next_upstream_tries 3` | [`RetryLayer::with_attempts`]; nginx's default is all servers, ours is 3 |
//! | `proxy_next_upstream_timeout` | [`RetryLayer::with_timeout`], which ends attempts as well |
//! | `proxy_request_buffering` | bodies are streamed, and what was sent is kept up to a bound |
//!
//! # From HAProxy
//!
//! | in HAProxy | here |
//! | --- | --- |
//! | `retries 3` | attempts 4; each goes elsewhere, as with `option redispatch 1` |
//! | `retry-on conn-failure` | [`RetryOn::new`] with no condition |
//! | `retry-on empty-response response-timeout 503` | [`Condition::Reset`], [`Condition::HeadTimeout`], [`Condition::Status`] |
//! | `retry-on junk-response` | [`Condition::InvalidResponse`] |
//!
//! # From Envoy and gRPC
//!
//! | there | here |
//! | --- | --- |
//! | `retry_on: connect-failure`, gRPC's transparent retries | always |
//! | `retry_on: reset`, `gateway-error`, `retriable-status-codes`, `unavailable` | [`Condition::Reset`], [`Condition::Status`], [`Condition::Grpc`] |
//! | `num_retries: 2`, gRPC's `maxAttempts: 3` | attempts 3 |
//! | `retry_host_predicate: previous_hosts` | always |
//! | `retry_budget: { budget_percent, min_retry_concurrency }`, gRPC's `retryThrottling` | [`Budget`](crate::retry::Budget), of what is sent and not of what is in flight |
//! | `retry_back_off`, `initialBackoff` | [`Backoff`](crate::retry::Backoff); none by default |
//! | `rate_limited_retry_back_off` | [`RetryLayer::with_retry_after`] |
//! | `hedge_policy`, `hedgingPolicy: { hedgingDelay }` | [`Hedge`](crate::retry::Hedge), two copies at a time |
//! | `timeout` of a route | [`RetryLayer::with_timeout`]; none by default |
//! | `per_try_timeout` | [`RetryLayer::with_attempt_timeout`] |
//! | `grpc_timeout_header_max`, deadlines of gRPC | [`Deadlines::with_grpc_timeout`](crate::retry::Deadlines::with_grpc_timeout) with `with_timeout` |
//! | `respect_expected_rq_timeout`, `x-envoy-expected-rq-timeout-ms` | [`Deadlines::with_milliseconds`](crate::retry::Deadlines::with_milliseconds) |
//! | `grpc-retry-pushback-ms` | obeyed, up to the bound of `with_retry_after` |
//!
//! [`Condition::Reset`]: crate::retry::Condition::Reset
//! [`Condition::HeadTimeout`]: crate::retry::Condition::HeadTimeout
//! [`Condition::InvalidResponse`]: crate::retry::Condition::InvalidResponse
//! [`Condition::Status`]: crate::retry::Condition::Status
//! [`Condition::Grpc`]: crate::retry::Condition::Grpc
//! [`RetryOn::with_method`]: crate::retry::RetryOn::with_method
//! [`RetryOn::new`]: crate::retry::RetryOn::new
//! [`RetryLayer::with_attempts`]: crate::retry::RetryLayer::with_attempts
//! [`RetryLayer::with_timeout`]: crate::retry::RetryLayer::with_timeout
//! [`RetryLayer::with_attempt_timeout`]: crate::retry::RetryLayer::with_attempt_timeout
//! [`RetryLayer::with_retry_after`]: crate::retry::RetryLayer::with_retry_after
