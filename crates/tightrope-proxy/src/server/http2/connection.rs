//! One connection.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    server::{Connection, Handshake, SendResponse},
};
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::{
    Http2,
    crowd::{Crowd, Turn},
    head,
    pings::Pings,
    stream::{Opened, Stream, StreamEnd},
};
use crate::{
    io::Early,
    server::{RequestBody, ServeError, ended::BoxError},
    splice::SplicedData,
    timeout::IdleTimer,
};

/// The requests of a connection of HTTP/2 and their answers, side by side: a future that is ready when the connection has
/// ended. The socket is dropped with it; the client may be sending something still, at which a socket that is closed would
/// be reset and the last of what it was told be lost: [`LingeringStream`](crate::LingeringStream) helps.
///
/// All of them are polled in here, each when something happened to it, on the task that polls this. What a service does
/// without waiting holds up the other requests of its client. A request that panics ends alone.
///
/// # Cancellation
/// Dropping it closes the connection, and drops the futures and bodies of all responses that are under way. Tunnels end.
#[must_use = "futures do nothing unless polled"]
pub struct Http2Connection<T, S, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
{
    wire: Wire<T>,
    service: S,
    config: Http2,
    streams: Crowd<Stream<S::Future, B>>,
    /// How many requests there were.
    begun: usize,
    /// Those that the client gave up before they were answered.
    given_up: usize,
    phase: Phase,
    idle: IdleTimer,
    pings: Pings,
}

enum Wire<T> {
    Opening(Handshake<Early<T>, Bytes>),
    Open(Connection<Early<T>, Bytes>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// The client was told to send no more requests.
    Leaving,
    /// The client gave up too many requests.
    Flooded,
}

/// After so many turns others of the runtime have theirs.
const MAX_TURNS: usize = 1024;

// === impl Http2Connection ===

impl<T, S, B> Http2Connection<T, S, B>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestBody>, Response = Response<B>>,
{
    pub(super) fn new(io: Early<T>, service: S, config: Http2) -> Self {
        Self {
            wire: Wire::Opening(config.h2.handshake(io)),
            service,
            streams: Crowd::new(),
            begun: 0,
            given_up: 0,
            phase: Phase::Serving,
            idle: IdleTimer::default(),
            pings: Pings::new(config.ping_interval, config.ping_timeout),
            config,
        }
    }

    /// Answers what is under way or has come, and tells the client to send no more, by GOAWAY: it learns which of its requests
    /// are answered, and loses none. The connection ends with the last of them.
    pub fn graceful_shutdown(&mut self) {
        if self.phase != Phase::Serving {
            return;
        }
        self.phase = Phase::Leaving;
        self.idle.progress();
        if let Wire::Open(connection) = &mut self.wire {
            connection.graceful_shutdown();
        }
        self.streams.call_host();
    }
}

impl<T, S, B> Http2Connection<T, S, B>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data: Into<SplicedData>>,
    B::Error: Into<BoxError>,
{
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        for _ in 0..MAX_TURNS {
            match ready!(self.streams.poll_turn(cx)) {
                Turn::Host => {
                    if let Poll::Ready(ended) = self.poll_wire() {
                        return Poll::Ready(ended);
                    }
                }
                Turn::Ready(StreamEnd::GivenUp) => self.count_given_up(),
                Turn::Ready(StreamEnd::Answered) => {}
                Turn::Panicked => tracing::error!("a request panicked"),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// What goes over the socket. Ready when that has ended.
    fn poll_wire(&mut self) -> Poll<Result<(), ServeError>> {
        let host = self.streams.host().clone();
        let cx = &mut Context::from_waker(&host);
        if let Poll::Ready(ended) = self.poll_requests(cx) {
            return Poll::Ready(match (self.phase, ended) {
                (Phase::Flooded, _) => Err(ServeError::Flood),
                // The client left first, as it was told to.
                (Phase::Leaving, Err(ServeError::Io(_))) if self.streams.is_empty() => Ok(()),
                (Phase::Serving | Phase::Leaving, ended) => ended,
            });
        }
        if self.pings.poll_unanswered(cx).is_ready() {
            return Poll::Ready(Err(ServeError::Unanswered));
        }
        self.poll_idle(cx)
    }

    /// Takes requests. Ready when no more can come, nor any response go out.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        loop {
            let connection = match &mut self.wire {
                Wire::Open(connection) => connection,
                Wire::Opening(handshake) => {
                    let mut connection = ready!(Pin::new(handshake).poll(cx))?;
                    self.pings.begin(connection.ping_pong());
                    if self.phase == Phase::Leaving {
                        connection.graceful_shutdown();
                    }
                    self.wire = Wire::Open(connection);
                    continue;
                }
            };
            let ready = match self.phase {
                Phase::Flooded => Poll::Pending,
                Phase::Serving | Phase::Leaving => self.service.poll_ready(cx),
            };
            let ready = ready.map_err(|error| ServeError::Service(error.into()))?;
            if ready.is_pending() {
                return connection.poll_closed(cx).map_err(Into::into);
            }
            match ready!(connection.poll_accept(cx)) {
                Some(Ok((request, respond))) => self.begin(request, respond),
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    fn begin(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.begun += 1;
        self.idle.progress();
        let refusal = if request.headers().len() > self.config.max_fields {
            Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        } else if !head::has_valid_target(&request) || !head::has_valid_length(&request) {
            Some(StatusCode::BAD_REQUEST)
        } else {
            None
        };
        let (request, opened) = Opened::new(request, respond);
        if let Some(status) = refusal {
            return opened.refuse(status);
        }
        let answer = self.service.call(request);
        let stream = opened.answer(answer, self.config.write_timeout);
        self.streams.add(stream);
    }

    /// Ready when the client asked for nothing for too long, and was told so.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        let is_busy = match &self.wire {
            Wire::Open(connection) => self.phase != Phase::Flooded && connection.has_streams(),
            Wire::Opening(_) => false,
        };
        if is_busy {
            self.idle.progress();
            return Poll::Pending;
        }
        let limit = match self.phase {
            Phase::Serving if self.begun == 0 => self.config.first_request_timeout,
            Phase::Serving => self.config.idle_timeout,
            // A client that does not answer loses nothing.
            Phase::Leaving | Phase::Flooded => self.config.ping_timeout,
        };
        ready!(self.idle.poll_expired(limit, cx));
        match (self.phase, &self.wire) {
            (Phase::Serving, Wire::Open(_)) => {
                self.graceful_shutdown();
                Poll::Pending
            }
            (Phase::Flooded, _) => Poll::Ready(Err(ServeError::Flood)),
            (Phase::Serving | Phase::Leaving, _) => Poll::Ready(Ok(())),
        }
    }

    fn count_given_up(&mut self) {
        self.given_up += 1;
        let is_flood = self.given_up > self.config.max_resets && self.given_up > self.begun / 2;
        if let (true, Wire::Open(connection)) = (is_flood, &mut self.wire)
            && self.phase != Phase::Flooded
        {
            self.phase = Phase::Flooded;
            self.idle.progress();
            self.streams.clear();
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            self.streams.call_host();
        }
    }
}

impl<T, S, B> Future for Http2Connection<T, S, B>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data: Into<SplicedData>>,
    B::Error: Into<BoxError>,
{
    type Output = Result<(), ServeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = ready!(self.poll_end(cx));
        // What is under way ends with the connection, and not when this is dropped.
        self.streams.clear();
        Poll::Ready(ended)
    }
}

// Nothing in it is pinned but what is in boxes.
impl<T, S, B> Unpin for Http2Connection<T, S, B> where
    S: Service<Request<RequestBody>, Response = Response<B>>
{
}

impl<T, S, B> fmt::Debug for Http2Connection<T, S, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Connection")
            .field("config", &self.config)
            .field("phase", &self.phase)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

// === impl ServeError ===

impl From<h2::Error> for ServeError {
    fn from(error: h2::Error) -> Self {
        match error.is_io() {
            true => Self::Io(
                error
                    .into_io()
                    .unwrap_or_else(|| io::ErrorKind::Other.into()),
            ),
            false => Self::Http2(error.into()),
        }
    }
}
