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
use bytes::BytesMut;
use http::{HeaderValue, Request, Response, StatusCode, Version, header::CONNECTION};
use http_body_util::Either;
use tightrope::{
    forwarded::Peer,
    proxy::{
        server::{Detected, End, Http1, Http2, RequestBody, ServeError, detect},
        splice::Spliced,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::{
    access_log::LoggedBody, config::Config, place::Body, server::Settings, site::ClientRequest,
};

/// How HTTP is spoken with clients.
pub(crate) struct Http {
    http1: Http1,
    http2: Http2,
    request_head: Duration,
    last_request: Duration,
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

// === impl Http ===

impl Http {
    pub(crate) fn new(config: &Config) -> Self {
        let http1 = Http1::new()
            .with_head_timeout(config.timeouts.request_head)
            .with_max_head(config.limits.head_bytes)
            .with_max_fields(config.limits.headers);
        let limits = &config.http2;
        let http2 = Http2::new()
            .with_extended_connect()
            .with_max_head(config.limits.head_bytes)
            .with_max_fields(config.limits.headers)
            .with_max_streams(limits.streams)
            .with_max_resets(limits.resets)
            .with_first_request_timeout(config.timeouts.request_head)
            .with_idle_timeout(limits.idle)
            .with_ping(limits.ping_interval, limits.ping_timeout)
            .with_write_timeout(config.timeouts.write);
        Self {
            http1,
            http2,
            request_head: config.timeouts.request_head,
            last_request: config.timeouts.last_request,
        }
    }

    /// What a client speaks on `stream`. It has as long for that as for a request's head.
    pub(crate) async fn detect(&self, stream: &mut TcpStream) -> io::Result<Detected> {
        timeout(self.request_head, detect(stream)).await?
    }

    /// Resolves when a connection that is not yet one of HTTP need not be waited for any more.
    pub(crate) async fn closed(&self, close: &CancellationToken) {
        close.cancelled().await;
        sleep(self.last_request).await;
    }

    /// Answers requests until the client or we have had enough, and drops the stream, of which some was read.
    pub(crate) async fn converse(
        &self,
        detected: Detected,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        conversation: Conversation,
    ) -> End {
        let address = conversation.address;
        let ended = match detected {
            Detected::Http1(read) => self.converse_http1(stream, read, conversation).await,
            // Whether the client is still sending is not known.
            Detected::Http2(read) => {
                let ended = Box::pin(self.converse_http2(stream, read, conversation)).await;
                ended.map(|()| End::Open)
            }
        };
        ended.unwrap_or_else(|error| {
            match error {
                ServeError::Flood => tracing::warn!(peer = %address, "{error}"),
                error => tracing::debug!(peer = %address, %error, "a connection ended"),
            }
            End::Open
        })
    }

    async fn converse_http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        read: BytesMut,
        conversation: Conversation,
    ) -> Result<End, ServeError> {
        let service = tower::service_fn(|request: Request<RequestBody>| {
            conversation.answer(request.map(Spliced::new))
        });
        let mut connection = self.http1.serve_read(stream, read, service);
        // What is answered from `closed` on says that it is the last. A request that is on its way
        // while we close would be lost, so it is waited for.
        let closed = self.closed(&conversation.close);
        if let Some(end) = conversation.serve(&mut connection, closed).await {
            return end;
        }
        connection.graceful_shutdown();
        connection.await
    }

    async fn converse_http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        read: BytesMut,
        conversation: Conversation,
    ) -> Result<(), ServeError> {
        let service = tower::service_fn(|request: Request<RequestBody>| {
            conversation.answer(request.map(Spliced::new))
        });
        let mut connection = self.http2.serve_read(stream, read, service);
        let closed = conversation.close.cancelled();
        if let Some(end) = conversation.serve(&mut connection, closed).await {
            return end;
        }
        // GOAWAY tells the client which of its requests will be answered.
        connection.graceful_shutdown();
        connection.await
    }
}

// === impl Conversation ===

impl Conversation {
    /// Serves `connection` until that ends, or `closed`, which comes some time after `close`.
    async fn serve<C: Future + Unpin>(
        &self,
        connection: &mut C,
        closed: impl Future<Output = ()>,
    ) -> Option<C::Output> {
        let mut closed = pin!(closed);
        let mut is_told = false;
        poll_fn(|cx| {
            if let Poll::Ready(end) = Pin::new(&mut *connection).poll(cx) {
                return Poll::Ready(Some(end));
            }
            // Once is enough until it happens: the task is the same.
            if is_told && !self.close.is_cancelled() {
                return Poll::Pending;
            }
            is_told = true;
            closed.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    async fn answer(
        &self,
        mut request: ClientRequest,
    ) -> Result<Response<LoggedBody<Body>>, Infallible> {
        let settings = self.settings.load_full();
        let line = settings.log.enter(self.address, &mut request);
        let version = request.version();
        request.extensions_mut().insert(self.peer);
        // It is always ready.
        let answering = settings.entrance.clone().call(request);
        let mut response = answering.await?;
        if version < Version::HTTP_2 && self.close.is_cancelled() {
            let last = HeaderValue::from_static("close");
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(CONNECTION, last);
            }
        }
        let endpoint = match response.body().get_ref() {
            Some(Either::Left(body)) if line.is_some() => {
                Some(Arc::clone(body.get_ref().endpoint()))
            }
            _ => None,
        };
        Ok(LoggedBody::wrap(response, endpoint, line))
    }
}
