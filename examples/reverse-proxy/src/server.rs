//! Accepts connections and serves what comes over them.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::BytesMut;
use nix::sys::socket::{setsockopt, sockopt::TcpNoDelay};
use tightrope::{
    forwarded::{
        Peer, Scheme, Trust,
        proxy_protocol::{ReceiveError, Receiver},
    },
    proxy::{
        ExtendedConnect, ExtendedConnectLayer, LingeringStream, WriteTimeout,
        server::{Detected, End},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tower::Layer;

use crate::{
    access_log::AccessLog,
    config::{Config, Listener},
    connection::{Conversation, Http},
    frontend::Frontend,
    workers::Workers,
};

/// What serves the connections of one address. Dropping it closes the address; requests that are
/// under way end.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    sockets: Vec<Arc<TcpListener>>,
    /// Those of each worker.
    settings: Vec<Arc<ArcSwap<Settings>>>,
    _close: DropGuard,
}

/// What can change while connections are open.
pub(crate) struct Settings {
    pub(crate) entrance: ExtendedConnect<Frontend>,
    pub(crate) log: AccessLog,
    pub(crate) http: Arc<Http>,
    proxy_protocol: Receiver,
    /// None where no TLS is spoken.
    tls: Option<TlsAcceptor>,
    handshake: Duration,
    write: Duration,
}

/// How long to wait when no connection can be accepted for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

// === impl Server ===

impl Server {
    /// Serves what the sockets of an address accept, on `workers`, each by the `settings` that it has;
    /// `connections` counts them.
    pub(crate) fn spawn(
        sockets: Vec<std::net::TcpListener>,
        settings: impl Fn(usize) -> Settings,
        workers: &Workers,
        connections: &TaskTracker,
    ) -> io::Result<Self> {
        let address = sockets[0].local_addr()?;
        let divided = workers.divide(&sockets)?;
        let settings: Vec<_> = (0..workers.count())
            .map(|worker| Arc::new(ArcSwap::from_pointee(settings(worker))))
            .collect();
        let close = CancellationToken::new();
        let mut sockets = Vec::new();
        for (worker, socket) in divided {
            let accept = accept(
                Arc::clone(&socket),
                Arc::clone(&settings[worker]),
                connections.clone(),
                close.clone(),
            );
            connections.spawn_on(accept, workers.runtime(worker));
            sockets.push(socket);
        }
        Ok(Self {
            address,
            sockets,
            settings,
            _close: close.drop_guard(),
        })
    }

    /// The address it serves.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its sockets, for another process.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = io::Result<OwnedFd>> {
        let sockets = self.sockets.iter();
        sockets.map(|socket| socket.as_fd().try_clone_to_owned())
    }

    /// What it speaks: `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.settings[0].load().tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Serves all requests from now on by the `settings` that each worker has.
    pub(crate) fn set(&self, settings: impl Fn(usize) -> Settings) {
        for (worker, current) in self.settings.iter().enumerate() {
            current.store(Arc::new(settings(worker)));
        }
    }
}

async fn accept(
    listener: Arc<TcpListener>,
    settings: Arc<ArcSwap<Settings>>,
    connections: TaskTracker,
    close: CancellationToken,
) {
    // Those that it accepts have it too. Without it they are only slower.
    let _slower = setsockopt(&listener, TcpNoDelay, &true);
    // One of all addresses of the machine cannot say which it was.
    let local = listener.local_addr().ok();
    let local = local.filter(|local| !local.ip().is_unspecified());
    loop {
        let accepted = tokio::select! {
            // Who connected before we close would be reset.
            biased;
            accepted = listener.accept() => accepted,
            () = close.cancelled() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let mut peer = Peer::tcp(address);
                if let Some(local) = local.or_else(|| stream.local_addr().ok()) {
                    peer = peer.with_local_addr(local);
                }
                let serve = serve(stream, address, peer, Arc::clone(&settings), close.clone());
                // In a box, as tokio moves the future of a task time and again.
                connections.spawn(Box::pin(serve));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Large futures are in boxes: their space would else be kept for as long as the connection.
async fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    peer: Peer,
    settings: Arc<ArcSwap<Settings>>,
    close: CancellationToken,
) {
    // Those of the moment; what follows may be served by others.
    let (http, receiver, tls, handshake, write) = {
        let now = settings.load();
        let receiver = now.proxy_protocol.clone();
        (
            Arc::clone(&now.http),
            receiver,
            now.tls.clone(),
            now.handshake,
            now.write,
        )
    };
    let accepted = tokio::select! {
        biased;
        accepted = receiver.accept(peer, &mut stream) => accepted,
        () = http.closed(&close) => return,
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
    let conversation = |peer: Peer| Conversation {
        settings,
        peer,
        address: peer.socket_addr().unwrap_or(address),
        close: close.clone(),
    };
    let Some(tls) = tls else {
        let detected = tokio::select! {
            biased;
            detected = http.detect(&mut stream) => detected,
            () = http.closed(&close) => return,
        };
        match detected {
            Ok(detected) => {
                let (stream, linger) = LingeringStream::new(stream);
                let stream = WriteTimeout::new(stream, write);
                let conversation = conversation(peer);
                let end = Box::pin(http.converse(detected, stream, conversation)).await;
                if end == End::Open {
                    linger.linger().await;
                }
            }
            Err(error) => tracing::debug!(peer = %address, %error, "no request came"),
        }
        return;
    };
    let (stream, linger) = LingeringStream::new(stream);
    let stream = WriteTimeout::new(stream, write);
    let accepted = tokio::select! {
        biased;
        accepted = Box::pin(timeout(handshake, accept_tls(&tls, stream))) => accepted,
        () = http.closed(&close) => return,
    };
    let end = match accepted {
        Ok(Ok(stream)) => {
            // RFC 9113 §3.2: over TLS HTTP/2 is agreed on by ALPN, and not otherwise.
            let detected = match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => Detected::Http2(BytesMut::new()),
                _ => Detected::Http1(BytesMut::new()),
            };
            let peer = peer.with_scheme(Scheme::Https);
            Box::pin(http.converse(detected, stream, conversation(peer))).await
        }
        Ok(Err(error)) => {
            tracing::debug!(peer = %address, %error, "no TLS was spoken");
            // An alert says why.
            End::Open
        }
        Err(_elapsed) => {
            tracing::debug!(peer = %address, "no TLS was spoken in time");
            End::Closed
        }
    };
    if end == End::Open {
        linger.linger().await;
    }
}

async fn accept_tls<S>(tls: &TlsAcceptor, stream: S) -> io::Result<Box<TlsStream<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tls.accept(stream).await.map(Box::new)
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
        let senders = Trust::networks(listener.proxy_protocol.iter().copied());
        Self {
            entrance: ExtendedConnectLayer::new().layer(frontend),
            log,
            http: Arc::new(Http::new(config)),
            tls,
            handshake: config.timeouts.tls_handshake,
            write: config.timeouts.write,
            proxy_protocol: Receiver::new(senders).with_timeout(config.timeouts.proxy_protocol),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}
