//! A server around a service under test.

use std::{
    convert::Infallible,
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;
use tower_service::Service;

use crate::BoxError;

/// An HTTP/1.1 server on a port of loopback that serves a tower service, until it is dropped.
pub struct Front {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Front {
    /// Serves a clone of `service` on every connection. Upgrades are allowed; a panic of the
    /// service ends its connection.
    ///
    /// # Panics
    /// It cannot listen.
    pub async fn start<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any).await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                // Small pieces are to arrive one by one.
                let _slower = stream.set_nodelay(true);
                let service = service.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| service.clone().oneshot(request));
                    // Whoever waits for an answer is told of the error.
                    let _ended = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Self {
            address,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
