//! What a probe is, and what it brings back.

use std::{error::Error, pin::Pin, sync::Arc, time::Duration};

use tightrope_upstream::Endpoint;

/// The answer of a probe: what the endpoint says of its load, or what was wrong.
pub type ProbeFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Report, Box<dyn Error + Send + Sync>>> + Send + 'a>>;

/// What an endpoint says of its load, to all balancers alike.
///
/// A server gets it from its [`Meter`](super::Meter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The requests at the endpoint, from all balancers.
    pub in_flight: u32,
    /// How long it takes to answer while it is that busy; `None` where it does not know yet, and
    /// then it is taken to be like the others.
    pub latency: Option<Duration>,
}

/// Asks an endpoint how busy it is.
///
/// What it asks is the user's to say: a path of the server that prints its
/// [`Meter`](super::Meter), or an RPC. It should go to the very process that serves the requests,
/// and past its queue.
///
/// ```
/// use tightrope_balance::prequal::{Probe, ProbeFuture, Report};
/// use tightrope_upstream::Endpoint;
/// use tokio::{io::AsyncReadExt, net::TcpStream};
///
/// /// Reads the requests in flight as four bytes from whoever connects.
/// struct AskByTcp;
///
/// impl Probe for AskByTcp {
///     fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
///         Box::pin(async move {
///             let mut stream = TcpStream::connect(endpoint.address().to_string()).await?;
///             Ok(Report::new(stream.read_u32().await?))
///         })
///     }
/// }
/// ```
pub trait Probe: Send + Sync + 'static {
    /// Asks `endpoint` once. Needs no timeout of its own: the [`Prober`](super::Prober) has one.
    ///
    /// # Errors
    /// The endpoint did not answer as it should. Nothing is learned then, and nobody is told: a
    /// probe that wants its errors seen logs them.
    ///
    /// # Panics
    /// A panic ends the prober, and picks do without it.
    ///
    /// # Cancellation
    /// The future is dropped when it takes too long, and with the prober: that must close what it
    /// opened.
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a>;
}

// === impl Report ===

impl Report {
    /// This many requests are in flight.
    #[must_use]
    pub const fn new(in_flight: u32) -> Self {
        Self {
            in_flight,
            latency: None,
        }
    }

    /// And answers take this long.
    #[must_use]
    pub const fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }
}

// === impl Probe ===

impl<P: Probe + ?Sized> Probe for Box<P> {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        (**self).probe(endpoint)
    }
}

impl<P: Probe + ?Sized> Probe for Arc<P> {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        (**self).probe(endpoint)
    }
}
