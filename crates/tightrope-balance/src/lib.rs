//! Strategies that choose an endpoint, and the tower service that uses them.
//!
//! [`Balance`] picks an endpoint of an [`Upstream`](tightrope_upstream::Upstream) for each request
//! and calls the service inside with both:
//!
//! ```
//! use std::convert::Infallible;
//! use tightrope_balance::{Balance, RoundRobin};
//! use tightrope_upstream::{Change, EndpointSpec, Picked, Upstream};
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
//!
//! // Stands for whatever talks to the endpoint; `tightrope-proxy` forwards HTTP.
//! let inner = service_fn(|picked: Picked<&'static str>| async move {
//!     let (request, pick) = picked.into_parts();
//!     Ok::<_, Infallible>(format!("{request} to {}", pick.endpoint().id()))
//! });
//! let mut balance = Balance::new(&upstream, RoundRobin::new(), inner);
//!
//! assert_eq!(balance.ready().await?.call("hello").await?, "hello to 10.0.0.1:8080");
//! assert_eq!(balance.ready().await?.call("hello").await?, "hello to 10.0.0.2:8080");
//! # Ok(())
//! # }
//! ```
//!
//! | when you want | use |
//! | --- | --- |
//! | each in turn, by weight | [`RoundRobin`] |
//! | no state to share | [`WeightedRandom`] |
//! | the less busy one | [`LeastRequest`] |
//! | the less busy and faster one | [`PeakEwma`] |
//! | the same, from many balancers to servers that answer probes | [`Prequal`] |
//! | each in turn, by the load that it reports | [`orca::WeightedRoundRobin`] |
//! | one, and the next only while it is out | [`FirstAvailable`] |
//! | a key or client to stay on one endpoint | [`Maglev`], [`RingHash`], [`Rendezvous`], [`Jump`]; [`HashOn`] says what is hashed |
//! | the same, but nobody overrun | [`Bounded`] around any of these |
//! | a client to stay where nginx would send it | [`nginx::IpHash`], [`nginx::KeyHash`], [`nginx::ConsistentHash`] |
//! | a client to stay where Envoy would send it | [`envoy::Maglev`], [`envoy::RingHash`] |
//! | a service spread by load as Envoy would | [`envoy::LeastRequest`] |
//! | a client to stay where HAProxy would send it | [`haproxy::Source`], [`haproxy::KeyHash`] |
//! | few connections from many clients to many endpoints | [`Aperture`], [`Subset`] around any of these |
//! | some of the endpoints only | [`Only`] around any of these |
//! | backup servers, and others that stand in | [`Priorities`] around any of these |
//! | endpoints nearby first | [`Zones`] around any of these |
//! | requests to wait while all are full, or to stay with theirs | [`Queue`], [`WhenFull`] |
//! | the sick rather than nobody, or rather than few | [`FailOpen`] around any of them |
//! | a rule of your own | [`Strategy`] and [`Picker`] |
//! | a client for each server, such as a tonic channel | [`in_flight::PerEndpoint`] |
//!
//! A pick reads one snapshot through one pointer, takes no lock and allocates nothing. What a
//! strategy may know of a request (client address, hash key, earlier attempts) is told by a closure:
//! [`Balance::with_context`].
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `http-body` | picks that end with the body of an `http::Response`, in [`in_flight`] |
//! | `orca` | load reports from the heads and trailers of an `http::Response`, in [`orca`] |
//!
//! What this crate does not do: probe endpoints (`tightrope-health`), retry (`tightrope-retry`),
//! speak HTTP (`tightrope-proxy`).

mod context;
mod error;
mod explain;
pub mod in_flight;
mod layer;
pub mod orca;
mod picker;
mod random;
pub mod service;
mod strategies;
mod strategy;

pub use crate::{
    context::{Context, Describe, NoContext},
    error::BalanceError,
    explain::{Candidate, Explanation},
    layer::BalanceLayer,
    picker::Picker,
    random::Random,
    service::{Balance, Queue, WhenFull},
    strategies::{
        Aperture, Bounded, FailOpen, FirstAvailable, HashOn, Jump, LeastRequest, Maglev, Only,
        PeakEwma, Prequal, Priorities, Rendezvous, RingHash, RoundRobin, Subset, WeightedRandom,
        Zones, envoy, haproxy, nginx, prequal,
    },
    strategy::Strategy,
};
