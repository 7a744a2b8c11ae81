//! Does somebody listen?

use tightrope_upstream::Endpoint;

use super::{Probe, ProbeFuture, connect::connect};

/// Passes when a connection to the endpoint's address is made, over TCP or, on Unix, to the socket
/// of that path. Nothing is sent, and the connection is closed at once.
///
/// It tells that a process listens, not that it works: where the endpoint speaks HTTP, ask it.
///
/// The names of endpoints are resolved at each probe, on a thread of the runtime that is meant for
/// such waits.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TcpProbe {}

impl TcpProbe {
    /// Connects.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl Probe for TcpProbe {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(async move { connect(endpoint.address()).await.map(drop) })
    }
}
