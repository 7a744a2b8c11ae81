//! Connections that go on as something else than HTTP.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{
    Extensions, HeaderMap, HeaderValue, Request, Version,
    header::{CONNECTION, UPGRADE},
};
use http_body::Body;
use hyper_util::rt::TokioIo;
use tightrope_upstream::{Outcome, Pick};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use crate::{
    extended_connect::CameAsConnect,
    hop_by_hop::has_token,
    io::{Early, Io},
    pool::Open,
    server,
};

/// Which upgrades are passed on to endpoints.
///
/// Any other is taken out of the request, which is then an ordinary one: an upgrade to HTTP/2
/// (`h2c`) would let a client speak to the endpoint past every rule of this proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upgrades {
    /// None.
    None,
    /// WebSocket (RFC 6455). The default.
    #[default]
    WebSocket,
}

/// An upgrade that a client asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    protocol: &'static str,
    client: Client,
}

/// The server that has the client's connection.
#[derive(Debug)]
enum Client {
    Ours(server::OnUpgrade),
    Hyper(hyper::upgrade::OnUpgrade),
}

/// The tunnels of a service; dropping this ends them.
#[derive(Debug)]
pub(crate) struct Tunnels {
    end: CancellationToken,
    _guard: DropGuard,
    idle_timeout: Duration,
}

/// Notes whether anything passes.
struct Watched<T> {
    io: T,
    has_moved: Arc<AtomicBool>,
}

// === impl Upgrades ===

impl Upgrades {
    const fn protocol(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::WebSocket => Some("websocket"),
        }
    }

    /// The upgrade to pass on, if the request asks for one that is allowed, in a way that leaves
    /// no doubt about where the tunnel begins.
    pub(crate) fn asked<B: Body>(self, request: &Request<B>) -> Option<&'static str> {
        let protocol = self.protocol()?;
        let (headers, extensions) = (request.headers(), request.extensions());
        // Nearly all.
        if !headers.contains_key(UPGRADE) {
            return None;
        }
        // RFC 9110 §7.8: ignored in HTTP/1.0 and where Connection does not name it.
        let may =
            request.version() == Version::HTTP_11 || extensions.get::<CameAsConnect>().is_some();
        let asks = may
            && has_token(headers, &CONNECTION, b"upgrade")
            && has_token(headers, &UPGRADE, protocol.as_bytes());
        let has_server = extensions.get::<server::OnUpgrade>().is_some()
            || extensions.get::<hyper::upgrade::OnUpgrade>().is_some();
        let can = request.body().is_end_stream() && has_server;
        (asks && can).then_some(protocol)
    }
}

// === impl Asked ===

impl Asked {
    /// Takes the client's side out of the request.
    pub(crate) fn new(protocol: &'static str, extensions: &mut Extensions) -> Option<Self> {
        let client = match extensions.remove() {
            Some(client) => Client::Ours(client),
            None => Client::Hyper(extensions.remove()?),
        };
        Some(Self { protocol, client })
    }

    /// Whether a 101 with these fields switches to what was asked for.
    pub(crate) fn is_granted(&self, headers: &HeaderMap) -> bool {
        let mut granted = headers.get_all(UPGRADE).iter();
        let is_asked = |value: &HeaderValue| {
            value
                .as_bytes()
                .eq_ignore_ascii_case(self.protocol.as_bytes())
        };
        granted.next().is_some_and(is_asked) && granted.next().is_none()
    }

    /// Tells the client of the switch.
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(self.protocol));
    }
}

// === impl Tunnels ===

impl Tunnels {
    pub(crate) fn new(idle_timeout: Duration) -> Self {
        let end = CancellationToken::new();
        Self {
            _guard: end.clone().drop_guard(),
            end,
            idle_timeout,
        }
    }

    /// Joins both sides until they are done, and holds `pick` and the place of the connection as long.
    pub(crate) fn spawn(&self, asked: Asked, endpoint: Early<Io>, mut pick: Pick, open: Open) {
        // It switched protocols, which was its part.
        pick.set_outcome(Outcome::Success);
        let idle_timeout = self.idle_timeout;
        let end = self.end.clone();
        let tunnel = async move {
            let joined = async {
                match asked.client {
                    Client::Ours(client) => join(client.await?, endpoint, idle_timeout).await,
                    Client::Hyper(client) => {
                        let client = client.await.map_err(io::Error::other)?;
                        join(TokioIo::new(client), endpoint, idle_timeout).await
                    }
                }
            };
            // How a tunnel ended is for its two ends to tell.
            let _ended = end.run_until_cancelled(joined).await;
            drop((pick, open));
        };
        tokio::spawn(tunnel.in_current_span());
    }
}

async fn join(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    endpoint: Early<Io>,
    idle_timeout: Duration,
) -> io::Result<()> {
    let has_moved = Arc::new(AtomicBool::new(false));
    let mut endpoint = Watched {
        io: endpoint,
        has_moved: Arc::clone(&has_moved),
    };
    // Closes each direction on its own, and both where either fails.
    let mut copy = pin!(copy_bidirectional(&mut client, &mut endpoint));
    loop {
        match timeout(idle_timeout, copy.as_mut()).await {
            Ok(copied) => return copied.map(|_bytes| ()),
            // Relaxed: set by the copy, which runs in this task.
            Err(_elapsed) if has_moved.swap(false, Ordering::Relaxed) => {}
            Err(elapsed) => return Err(elapsed.into()),
        }
    }
}

// === impl Watched ===

impl<T> Watched<T> {
    fn moved(&self, bytes: usize) {
        if bytes > 0 {
            self.has_moved.store(true, Ordering::Relaxed);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.moved(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.moved(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
