//! Accepts connections and serves what comes over them.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::{Request, Response};
use http_body_util::Either;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tightrope::{
    forwarded::{
        Peer, Scheme, Trust,
        proxy_protocol::{ReceiveError, Receiver},
    },
    proxy::StrictRequests,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    signal::unix::{Signal, SignalKind, signal},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tower::ServiceExt;

use crate::{
    Shared,
    access_log::{AccessLog, LoggedBody},
    config::{Config, Listener},
    frontend::Frontend,
    place::Body,
};

/// What serves the connections of one address. Dropping it closes the address; requests that are
/// under way end.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    settings: Arc<ArcSwap<Settings>>,
    _close: DropGuard,
}

/// What can change while connections are open.
pub(crate) struct Settings {
    pub(crate) frontend: Frontend,
    pub(crate) log: AccessLog,
    http: http1::Builder,
    proxy_protocol: Receiver,
    /// None where no TLS is spoken.
    tls: Option<TlsAcceptor>,
    handshake: Duration,
}

/// How long to wait when no connection can be accepted for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How many header lines hyper takes unless told otherwise.
const HYPER_MAX_HEADERS: usize = 100;

// === impl Server ===

impl Server {
    /// Serves what `listener` accepts, on the caller's runtime; `connections` counts them.
    pub(crate) fn spawn(
        listener: TcpListener,
        settings: Settings,
        connections: &TaskTracker,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let close = CancellationToken::new();
        connections.spawn(accept(
            listener,
            Arc::clone(&settings),
            connections.clone(),
            close.clone(),
        ));
        Ok(Self {
            address,
            settings,
            _close: close.drop_guard(),
        })
    }

    /// The address it serves.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it speaks: `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.settings.load().tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Serves all requests from now on by `settings`.
    pub(crate) fn set(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }
}

async fn accept(
    listener: TcpListener,
    settings: Arc<ArcSwap<Settings>>,
    connections: TaskTracker,
    close: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = close.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let serve = serve(stream, peer, Arc::clone(&settings), close.clone());
                connections.spawn(serve);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    settings: Arc<ArcSwap<Settings>>,
    close: CancellationToken,
) {
    // A connection that is reset between here and `accept` fails below.
    let _without = stream.set_nodelay(true);
    let mut peer = Peer::tcp(address);
    if let Ok(local) = stream.local_addr() {
        peer = peer.with_local_addr(local);
    }
    let receiver = settings.load().proxy_protocol.clone();
    let accepted = tokio::select! {
        biased;
        () = close.cancelled() => return,
        accepted = receiver.accept(peer, &mut stream) => accepted,
    };
    let peer = match accepted {
        Ok(peer) => peer,
        // What a balancer does to see whether somebody listens.
        Err(ReceiveError::Ended { received: 0 }) => return,
        Err(error) => {
            tracing::warn!(peer = %address, %error, "a connection was refused");
            return;
        }
    };
    let (tls, handshake) = {
        let settings = settings.load();
        (settings.tls.clone(), settings.handshake)
    };
    let Some(tls) = tls else {
        return converse(stream, address, peer, &settings, &close).await;
    };
    let accepted = tokio::select! {
        biased;
        () = close.cancelled() => return,
        accepted = timeout(handshake, tls.accept(stream)) => accepted,
    };
    let peer = peer.with_scheme(Scheme::Https);
    match accepted {
        Ok(Ok(stream)) => converse(stream, address, peer, &settings, &close).await,
        Ok(Err(error)) => tracing::debug!(peer = %address, %error, "no TLS was spoken"),
        Err(_elapsed) => tracing::debug!(peer = %address, "no TLS was spoken in time"),
    }
}

/// Answers requests until the client or we have had enough.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    peer: Peer,
    settings: &ArcSwap<Settings>,
    close: &CancellationToken,
) {
    let address = peer.socket_addr().unwrap_or(address);
    let stream = StrictRequests::new(stream);
    let tunnelled = stream.tunnelled();
    let http = settings.load().http.clone();
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(tunnelled.clone());
        handle(settings, address, peer, request)
    });
    let connection = http
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = close.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %address, %error, "a connection ended");
    }
}

async fn handle(
    settings: &ArcSwap<Settings>,
    address: SocketAddr,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Result<Response<LoggedBody<Body>>, Infallible> {
    let settings = settings.load_full();
    let line = settings.log.enter(address, &request);
    request.extensions_mut().insert(peer);
    let response = settings.frontend.clone().oneshot(request).await?;
    let endpoint = match response.body().get_ref() {
        Some(Either::Left(body)) => Some(Arc::clone(body.endpoint())),
        Some(Either::Right(_)) | None => None,
    };
    Ok(LoggedBody::wrap(response, endpoint, line))
}

// === impl Settings ===

impl Settings {
    pub(crate) fn new(
        frontend: Frontend,
        log: AccessLog,
        config: &Config,
        listener: &Listener,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(config.timeouts.request_head)
            .max_buf_size(config.limits.head_bytes);
        // At its own default hyper keeps the lines of a head on the stack.
        if config.limits.headers != HYPER_MAX_HEADERS {
            http.max_headers(config.limits.headers);
        }
        let senders = Trust::networks(listener.proxy_protocol.iter().copied());
        Self {
            frontend,
            log,
            http,
            tls,
            handshake: config.timeouts.tls_handshake,
            proxy_protocol: Receiver::new(senders).with_timeout(config.timeouts.proxy_protocol),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

/// The signals that the proxy obeys.
pub(crate) struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Obeys them until one says to stop and everything has ended.
    pub(crate) async fn serve(mut self, proxy: &Shared) {
        loop {
            tokio::select! {
                Some(()) = self.reload.recv() => match proxy.reload().await {
                    Ok(()) => tracing::info!("the configuration was read again"),
                    Err(error) => tracing::error!("{error}; nothing was changed"),
                },
                Some(()) = self.terminate.recv() => break,
                Some(()) = self.interrupt.recv() => break,
            }
        }
        tokio::select! {
            () = proxy.stop() => {}
            // Asked twice: at once.
            Some(()) = self.interrupt.recv() => {}
            Some(()) = self.terminate.recv() => {}
        }
    }
}
