//! What a probe is, and those that come with the crate.
//!
//! [`TcpProbe`] asks whether somebody listens, and gives the right answer,
#![cfg_attr(
    feature = "http",
    doc = "[`HttpProbe`] whether HTTP is answered as it should be,"
)]
#![cfg_attr(
    not(feature = "http"),
    doc = "`HttpProbe` (feature `http`) whether HTTP is answered as it should be,"
)]
#![cfg_attr(
    feature = "grpc",
    doc = "[`GrpcProbe`] whether a gRPC service says that it serves."
)]
#![cfg_attr(
    not(feature = "grpc"),
    doc = "`GrpcProbe` (feature `grpc`) whether a gRPC service says that it serves."
)]
//! Each asks at the address of the endpoint, or at another [`Place`]. [`Shared`] asks once where
//! several upstreams would ask the same.
//!
//! One of your own is a type that implements [`Probe`]; [`check`] asks once, without a background
//! task.

mod connect;
mod error;
mod excerpt;
#[cfg(feature = "http")]
mod expected_body;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "http")]
mod http;
#[cfg(any(feature = "http", feature = "grpc"))]
mod message;
#[cfg(feature = "regex")]
mod pattern;
mod place;
mod shared;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

use std::{pin::Pin, sync::Arc, time::Duration};

use tightrope_upstream::{Address, Endpoint};

#[cfg(feature = "grpc")]
pub use self::grpc::{GrpcProbe, GrpcProbeError};
#[cfg(feature = "regex")]
pub use self::pattern::{Pattern, PatternError};
#[cfg(feature = "tls")]
pub use self::tls::{Tls, TlsError};
pub use self::{
    error::ProbeError,
    place::Place,
    shared::Shared,
    tcp::{ExpectedBytes, TcpProbe, TcpProbeError},
};
#[cfg(feature = "http")]
pub use self::{
    expected_body::ExpectedBody,
    http::{HttpProbe, HttpProbeError},
};

/// The answer of a probe: nothing, or what was wrong.
pub type ProbeFuture<'a> = Pin<Box<dyn Future<Output = Result<(), ProbeError>> + Send + 'a>>;

/// Finds out whether an endpoint can do its work.
///
/// ```
/// use tightrope_health::{Probe, ProbeError, probe::ProbeFuture};
/// use tightrope_upstream::Endpoint;
/// use tokio::{io::AsyncReadExt, net::TcpStream};
///
/// /// Passes when the server greets with a line that starts with `220`, as SMTP does.
/// struct Greets;
///
/// impl Probe for Greets {
///     fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
///         Box::pin(async move {
///             let address = endpoint.address().to_string();
///             let mut stream = TcpStream::connect(address).await.map_err(ProbeError::Connect)?;
///             let mut code = [0; 3];
///             let read = stream.read_exact(&mut code).await;
///             read.map_err(|error| ProbeError::Exchange(error.into()))?;
///             match &code {
///                 b"220" => Ok(()),
///                 _ => Err(ProbeError::Unexpected("greeting is not 220".to_owned())),
///             }
///         })
///     }
/// }
/// ```
pub trait Probe: Send + Sync + 'static {
    /// Asks `endpoint` once. Needs no timeout of its own: whoever asks has one.
    ///
    /// A panic counts as a failed probe.
    ///
    /// # Errors
    /// The endpoint did not answer as it should.
    ///
    /// # Cancellation
    /// The future is dropped when it takes too long, and when the endpoint leaves: that must close
    /// what it opened.
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a>;

    /// Where `endpoint` is asked. Whoever gives the same place for two endpoints says that the answer
    /// of one is that of the other. Default: the endpoint's address.
    ///
    /// # Errors
    /// Nowhere: what [`probe`](Self::probe) would fail with.
    fn place(&self, endpoint: &Endpoint) -> Result<Address, ProbeError> {
        Ok(endpoint.address().clone())
    }
}

impl<P: Probe + ?Sized> Probe for Box<P> {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        (**self).probe(endpoint)
    }

    fn place(&self, endpoint: &Endpoint) -> Result<Address, ProbeError> {
        (**self).place(endpoint)
    }
}

impl<P: Probe + ?Sized> Probe for Arc<P> {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        (**self).probe(endpoint)
    }

    fn place(&self, endpoint: &Endpoint) -> Result<Address, ProbeError> {
        (**self).place(endpoint)
    }
}

/// Asks `endpoint` once, for at most `timeout`: a fresh answer for who cannot wait for the next
/// verdict of a [`HealthCheck`](crate::HealthCheck), such as a rollout before it moves the traffic.
/// The verdict in the upstream stays as it is.
///
/// ```
/// use std::time::Duration;
/// use tightrope_health::{TcpProbe, probe};
/// use tightrope_upstream::{Change, EndpointSpec, Upstream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let upstream = Upstream::new("api");
/// let address = server.local_addr()?.try_into()?;
/// upstream.apply(Change::new().add(EndpointSpec::new(address)))?;
///
/// let snapshot = upstream.snapshot();
/// probe::check(&TcpProbe::new(), &snapshot.members()[0], Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// What the probe says, or [`ProbeError::Timeout`].
///
/// # Cancellation
/// Dropping the future drops the probe.
pub async fn check<P: Probe + ?Sized>(
    probe: &P,
    endpoint: &Endpoint,
    timeout: Duration,
) -> Result<(), ProbeError> {
    match tokio::time::timeout(timeout, probe.probe(endpoint)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(ProbeError::Timeout(timeout)),
    }
}
