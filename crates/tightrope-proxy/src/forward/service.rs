//! The service.

use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tightrope_upstream::{Endpoint, Picked, Upstream};
use tower_service::Service;

use crate::{
    Connections, ForwardBody, ForwardConfig, ForwardError, KeepWarm, ResponseFuture,
    forward::exchange::exchange, pool::Pool, splice::SplicedData, upgrade::Tunnels,
};

/// Forwards each picked request to its endpoint.
///
/// Cheap to clone; all clones share one pool of connections. Always ready.
///
/// A connection is taken from the pool or made before the request is touched, so a request that
/// could not be sent comes back in the [`ForwardError`]: as it was where there was no connection, without
/// what ended at this hop where the connection closed before anything was sent. The pick moves into the body
/// of the response, or into the tunnel of an upgrade, and is released when that ends or is dropped.
///
/// A pooled connection may be closed by the endpoint just as a request goes out on it. Where
/// nothing was sent another connection is used. Where that is not certain the attempt ends with
/// [`Failure::Stale`](tightrope_upstream::Failure::Stale), which speaks against nobody; a retry layer may send the
/// request again where it is idempotent. Nothing is ever sent twice here, but for what an endpoint of HTTP/2 said it did
/// nothing of: where it is about to close the connection, another is used, and where it has no room the attempt ends with
/// [`Failure::Refused`](tightrope_upstream::Failure::Refused).
///
/// When an attempt that somebody follows ended in any other way, the head of its request
/// [is given back](tightrope_upstream::Attempt::give_back), as `http::request::Parts` and without what ended at this hop: for
/// `RetryLayer::with_returned_heads` of `tightrope-retry`.
///
/// A connection of HTTP/2 on which an answer did not come in time gets no more requests until its endpoint says
/// that it is still there, and is closed if it does not within the time that a connection may take to be made.
///
/// A pool belongs to one configuration, so a connection that was made for one setting of TLS is never used for another.
///
/// Dropping the last clone closes the idle connections and ends the tunnels. Bodies that are still
/// streamed go on.
///
/// # Panics
/// Its future must be polled within a tokio runtime that has I/O and time enabled.
#[derive(Clone, Debug)]
pub struct Forward {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<ForwardConfig>,
    pub(crate) pool: Pool,
    pub(crate) tunnels: Tunnels,
}

impl Forward {
    /// A service with a pool of its own, which forwards as `config` says.
    #[must_use]
    pub fn new(config: ForwardConfig) -> Self {
        let config = Arc::new(config);
        Self {
            shared: Arc::new(Shared {
                pool: Pool::new(Arc::clone(&config)),
                tunnels: Tunnels::new(config.tunnel_idle_timeout),
                config,
            }),
        }
    }

    /// Keeps at least `connections` to each available member of `upstream` open, so that the first requests to
    /// one that is new or back wait for no connection: those that are in use count. It is looked for at each change of
    /// the upstream and once a second, on the runtime of the caller and in the caller's span. One that was idle for
    /// too long is closed as ever and made anew.
    ///
    /// Never more than there [may be](ForwardConfig::with_max_connections_per_endpoint). It ends with this service.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and timers.
    pub fn keep_warm(&self, upstream: &Upstream, connections: usize) -> KeepWarm {
        KeepWarm::spawn(&self.shared, upstream, connections)
    }

    /// The connections to `endpoint`, as they are now.
    #[must_use]
    pub fn connections(&self, endpoint: &Endpoint) -> Connections {
        self.shared.pool.connections(endpoint)
    }
}

impl Default for Forward {
    fn default() -> Self {
        Self::new(ForwardConfig::new())
    }
}

impl<B> Service<Picked<Request<B>>> for Forward
where
    B: Body<Data: Into<SplicedData>> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ForwardBody>;
    type Error = ForwardError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, picked: Picked<Request<B>>) -> ResponseFuture {
        let (request, pick) = picked.into_parts();
        ResponseFuture::new(exchange(Arc::clone(&self.shared), request, pick))
    }
}
