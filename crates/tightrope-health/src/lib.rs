//! Health of endpoints: active probes, and what live traffic tells.
//!
//! A [`HealthCheck`] probes the members of an [`Upstream`](tightrope_upstream::Upstream) in the
//! background and sets their health there; whoever picks from the upstream then leaves out those
//! that fail. An [`ObserveLayer`] around the service that forwards tells it of servers that live
//! traffic could not connect to, so that a killed server is out before its next probe is due. An
//! [`OutlierDetection`](outlier::OutlierDetection) ejects for a while whoever fails too often or fares
//! worse than the others.
//!
//! ```
//! use std::time::Duration;
//! use tightrope_health::{HealthCheck, TcpProbe};
//! use tightrope_upstream::{Change, EndpointSpec, EventKind, Upstream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // An address where nobody listens.
//! let silent = tokio::net::TcpSocket::new_v4()?;
//! silent.bind("127.0.0.1:0".parse()?)?;
//!
//! let upstream = Upstream::new("api");
//! let address = silent.local_addr()?.try_into()?;
//! upstream.apply(Change::new().add(EndpointSpec::new(address)))?;
//! let mut events = upstream.events();
//!
//! let health = HealthCheck::new(&upstream, TcpProbe::new())
//!     .with_interval(Duration::from_millis(10))?
//!     .spawn();
//!
//! let event = events.next().await?.expect("the upstream is there");
//! let EventKind::Health { reason, .. } = event.kind else { unreachable!() };
//! assert!(reason.as_str().starts_with("probe: connect failed"));
//! assert!(upstream.snapshot().available().is_empty());
//! # drop(health);
//! # Ok(())
//! # }
//! ```
//!
//! | when you want | use |
//! | --- | --- |
//! | the health of an upstream's members to be watched | [`HealthCheck`], [`HealthTask`] |
//! | to ask whether somebody listens, and gives the right answer | [`TcpProbe`], [`ExpectedBytes`] |
#![cfg_attr(
    feature = "http",
    doc = "| to ask over HTTP | [`HttpProbe`], [`ExpectedBody`] |"
)]
#![cfg_attr(
    feature = "regex",
    doc = "| to match what HTTP answers | [`Pattern`], [`ExpectedBody::Matches`] |"
)]
#![cfg_attr(
    feature = "grpc",
    doc = "| to ask a gRPC service for its health | [`GrpcProbe`] |"
)]
#![cfg_attr(
    feature = "tls",
    doc = "| any of these over TLS, and so HTTPS | [`Tls`] |"
)]
//! | to ask at another port or address than the traffic's | [`probe::Place`] |
//! | to ask a server once that is in several upstreams | [`probe::Shared`] |
//! | to ask in a way of your own | [`Probe`], [`ProbeError`] |
//! | to ask once, now | [`probe::check`] |
//! | what live traffic finds to count | [`ObserveLayer`], [`LiveReports`] |
//! | those out who fail requests although probes pass | [`outlier`] |
//! | those who come, or come back, to start slowly | [`SlowStart`] |
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `http` | no | `HttpProbe`: status and body of an answer over HTTP/1.1, with hyper |
//! | `regex` | no | `ExpectedBody::Matches`: a regular expression for that body; `http` with it |
//! | `grpc` | no | `GrpcProbe`: the health protocol of gRPC over HTTP/2, with hyper and prost; `observe::grpc`: how calls of live traffic end |
//! | `tls` | no | `Tls`: these probes over TLS with SNI, with rustls, ring and the system's certificates |
//!
//! What this crate does not do: choose (that is `tightrope-balance`), move the traffic of a rollout
//! (`tightrope-rollout`), try a request again (`tightrope-retry`).

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod observe;
pub mod outlier;
pub mod probe;

mod check;
mod error;
mod schedule;
mod slow_start;
mod task;
mod threshold;
mod worker;

#[cfg(feature = "http")]
pub use crate::probe::{ExpectedBody, HttpProbe, HttpProbeError};
#[cfg(feature = "grpc")]
pub use crate::probe::{GrpcProbe, GrpcProbeError};
#[cfg(feature = "regex")]
pub use crate::probe::{Pattern, PatternError};
#[cfg(feature = "tls")]
pub use crate::probe::{Tls, TlsError};
pub use crate::{
    check::HealthCheck,
    error::HealthCheckError,
    observe::{Listen, Listening, LiveReports, Observe, ObserveLayer},
    probe::{ExpectedBytes, Probe, ProbeError, TcpProbe, TcpProbeError},
    slow_start::SlowStart,
    task::HealthTask,
};
