//! One connection of a client: which HTTP it speaks, and its requests until it ends.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header::CONNECTION};
use http_body_util::Either;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tightrope::{
    forwarded::Peer,
    proxy::{
        respond,
        server::{End, Http1, RequestBody, ServeError},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    access_log::LoggedBody,
    config::Config,
    place::Body,
    server::Settings,
    site::ClientRequest,
    streams::{HeldBody, OpenStream, Streams},
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How HTTP is spoken with clients.
pub(crate) struct Http {
    http1: Http1,
    http2: http2::Builder<TokioExecutor>,
    request_head: Duration,
    last_request: Duration,
    idle: Duration,
    headers: usize,
    resets: usize,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A connection, as its requests know it.
pub(crate) struct Conversation {
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) peer: Peer,
    /// Who is in the log.
    pub(crate) address: SocketAddr,
    /// No more connections are accepted where this one was.
    pub(crate) close: CancellationToken,
}

/// What a client of HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long to wait for the rest of a preface of which a part came. Clients send it whole, and so
/// it mostly arrives.
const PREFACE_PAUSE: Duration = Duration::from_millis(10);

/// How much may be on its way to a client of HTTP/2 on one stream.
const SEND_BUFFER: usize = 64 * 1024;

/// How much a client may send before we have passed it on: on one stream, so that an upload which
/// stands still leaves room for others, and on all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

// === impl Http ===

impl Http {
    pub(crate) fn new(config: &Config) -> Self {
        let http1 = Http1::new()
            .with_head_timeout(config.timeouts.request_head)
            .with_max_head(config.limits.head_bytes)
            .with_max_fields(config.limits.headers);
        let limits = &config.http2;
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        // The budget against CONTINUATION frames follows from that of the head.
        let head_bytes = u32::try_from(config.limits.head_bytes).unwrap_or(u32::MAX);
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(head_bytes)
            .enable_connect_protocol()
            .max_concurrent_streams(limits.streams)
            .max_pending_accept_reset_streams(limits.resets)
            .max_local_error_reset_streams(limits.resets)
            .keep_alive_interval(limits.ping_interval)
            .keep_alive_timeout(limits.ping_timeout)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER);
        Self {
            http1,
            http2,
            request_head: config.timeouts.request_head,
            last_request: config.timeouts.last_request,
            idle: limits.idle,
            headers: config.limits.headers,
            resets: limits.resets,
        }
    }

    /// What a client speaks on `stream`, of which nothing is taken.
    ///
    /// Costs one look at what came, without which no request could be read either. The client has
    /// as long for it as for a request's head.
    pub(crate) async fn detect(&self, stream: &TcpStream) -> io::Result<Protocol> {
        let told = timeout(self.request_head, async {
            let mut first = [0; PREFACE.len()];
            loop {
                let count = stream.peek(&mut first).await?;
                match Protocol::of(&first[..count]) {
                    Some(protocol) => return Ok(protocol),
                    None => sleep(PREFACE_PAUSE).await,
                }
            }
        });
        told.await?
    }

    /// Resolves when a connection that is not yet one of HTTP need not be waited for any more.
    pub(crate) async fn closed(&self, close: &CancellationToken) {
        close.cancelled().await;
        sleep(self.last_request).await;
    }

    /// Answers requests until the client or we have had enough, and drops the stream.
    pub(crate) async fn converse(
        &self,
        protocol: Protocol,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        conversation: Conversation,
    ) -> End {
        let address = conversation.address;
        let ended: Result<End, BoxError> = match protocol {
            Protocol::Http1 => self
                .converse_http1(stream, conversation)
                .await
                .map_err(Into::into),
            Protocol::Http2 => {
                let ended = Box::pin(self.converse_http2(stream, conversation)).await;
                ended.map(|()| End::Open).map_err(Into::into)
            }
        };
        ended.unwrap_or_else(|error| {
            tracing::debug!(peer = %address, %error, "a connection ended");
            End::Open
        })
    }

    async fn converse_http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        conversation: Conversation,
    ) -> Result<End, ServeError> {
        let service =
            tower::service_fn(|request: Request<RequestBody>| conversation.answer(request));
        let mut connection = self.http1.serve(stream, service);
        let mut closed = pin!(self.closed(&conversation.close));
        let mut is_told = false;
        // What is answered from `closed` on says that it is the last. A request that is on its way
        // while we close would be lost, so it is waited for.
        let ended = poll_fn(|cx| {
            if let Poll::Ready(end) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(Some(end));
            }
            // Once is enough until it happens: the task is the same.
            if is_told && !conversation.close.is_cancelled() {
                return Poll::Pending;
            }
            is_told = true;
            closed.as_mut().poll(cx).map(|()| None)
        });
        if let Some(end) = ended.await {
            return end;
        }
        connection.graceful_shutdown();
        connection.await
    }

    async fn converse_http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        conversation: Conversation,
    ) -> hyper::Result<()> {
        let (close, address) = (conversation.close.clone(), conversation.address);
        let streams = Arc::new(Streams::new(self.resets));
        let conversation = Arc::new(conversation);
        let service = service_fn(|request| {
            let conversation = Arc::clone(&conversation);
            let open = streams.begin();
            async move { conversation.answer_stream(request, open).await }
        });
        let connection = self.http2.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut idle = pin!(streams.idle(self.request_head, self.idle));
        let mut is_closing = false;
        loop {
            tokio::select! {
                ended = &mut connection => return ended,
                () = streams.flooded() => {
                    tracing::warn!(peer = %address, "a client gave up too many requests");
                    return Ok(());
                }
                () = close.cancelled(), if !is_closing => {
                    // GOAWAY tells the client which of its requests will be answered.
                    connection.as_mut().graceful_shutdown();
                    is_closing = true;
                }
                () = &mut idle => break,
            }
        }
        connection.as_mut().graceful_shutdown();
        // A client that does not answer loses nothing.
        timeout(self.last_request, connection)
            .await
            .unwrap_or(Ok(()))
    }
}

// === impl Conversation ===

impl Conversation {
    async fn answer(
        &self,
        mut request: ClientRequest,
    ) -> Result<Response<LoggedBody<Body>>, Infallible> {
        let settings = self.settings.load_full();
        let line = settings.log.enter(self.address, &mut request);
        let version = request.version();
        let mut response = if request.headers().len() > settings.http.headers {
            // hyper sees to it in HTTP/1.1 alone.
            respond::answer(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).map(Body::from)
        } else {
            request.extensions_mut().insert(self.peer);
            settings.entrance.clone().oneshot(request).await?
        };
        if version < Version::HTTP_2 && self.close.is_cancelled() {
            let last = HeaderValue::from_static("close");
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(CONNECTION, last);
            }
        }
        let endpoint = match response.body().get_ref() {
            Some(Either::Left(body)) if line.is_some() => Some(Arc::clone(body.endpoint())),
            _ => None,
        };
        Ok(LoggedBody::wrap(response, endpoint, line))
    }

    async fn answer_stream(
        &self,
        request: Request<Incoming>,
        open: OpenStream,
    ) -> Result<Response<HeldBody<LoggedBody<Body>>>, Infallible> {
        let is_connect = request.method() == Method::CONNECT;
        let response = self.answer(request.map(RequestBody::from)).await?;
        let is_tunnel = is_connect && response.status().is_success();
        let open = match is_tunnel {
            true => open.into_tunnel(),
            false => open.answered(),
        };
        Ok(response.map(|body| HeldBody::new(body, open)))
    }
}

// === impl Protocol ===

impl Protocol {
    /// What begins with `bytes`; none where it could be both.
    fn of(bytes: &[u8]) -> Option<Self> {
        match PREFACE.strip_prefix(bytes) {
            Some([]) => Some(Self::Http2),
            // The client closed before it said anything.
            Some(_) if bytes.is_empty() => Some(Self::Http1),
            Some(_) => None,
            None => Some(Self::Http1),
        }
    }
}
