//! One connection of HTTP/1.1.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

use super::{
    Http1,
    head::{self, Head, Refusal},
    response::{self, Asked, Coding},
    wire::{Incoming, Line, Shared, Wire},
};
use crate::{
    h1::Place,
    server::{
        End, Interim, OnUpgrade, RequestBody, ServeError, Upgraded, ended::BoxError, upgrade::Grant,
    },
    splice::{SplicedData, Takes},
    timeout::IdleTimer,
};

/// The requests of a connection and their answers, one after the other: a future that is ready when the connection has
/// ended. The socket is dropped with it, unless an upgrade took it.
///
/// # Cancellation
/// Dropping it closes the connection, and drops the future or the body of the response that is under way.
#[must_use = "futures do nothing unless polled"]
pub struct Http1Connection<T, S, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
{
    shared: Arc<Shared<T>>,
    service: S,
    config: Http1,
    state: State<S::Future, B>,
    /// What the last request asked for.
    asked: Asked,
    grant: Option<Grant>,
    /// No more requests are wanted.
    is_closing: bool,
    places: Vec<Place>,
    timer: IdleTimer,
}

enum State<F, B> {
    /// Waits for a request.
    Head,
    /// The service works on the response.
    Answering(Pin<Box<F>>),
    /// The response goes out.
    Writing(Pin<Box<B>>, Coding),
    /// All of the response is there to be written.
    Written,
    /// What is there to be written is the last.
    Closing,
}

/// Why no request came.
enum Over {
    /// Too late, or no more is wanted.
    Done,
    /// The client is gone.
    Gone,
    Refused(Refusal),
}

// === impl Http1Connection ===

impl<T, S, B> Http1Connection<T, S, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
{
    pub(super) fn new(io: T, read: BytesMut, service: S, config: Http1) -> Self {
        Self {
            shared: Arc::new(Shared::new(io, read)),
            service,
            config,
            state: State::Head,
            asked: Asked::NOTHING,
            grant: None,
            is_closing: false,
            places: Vec::new(),
            timer: IdleTimer::default(),
        }
    }

    /// Answers what is under way or has come, and says that it was the last. A connection between two requests ends at once.
    ///
    /// What a client sends while that happens is lost. To wait a little before this is called spares most clients that.
    pub fn graceful_shutdown(&mut self) {
        self.is_closing = true;
    }
}

impl<T, S, B> Http1Connection<T, S, B>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data: Into<SplicedData>>,
    B::Error: Into<BoxError>,
{
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<End, ServeError>> {
        loop {
            let end = match &mut self.state {
                State::Head => ready!(self.poll_head(cx))?,
                State::Answering(answer) => match answer.as_mut().poll(cx) {
                    Poll::Ready(Ok(response)) => {
                        self.respond(response, cx);
                        None
                    }
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(ServeError::Service(error.into())));
                    }
                    Poll::Pending => Some(ready!(self.poll_gone(cx))?),
                },
                State::Writing(..) => ready!(self.poll_body(cx))?,
                State::Written => ready!(self.poll_written(cx))?,
                State::Closing => {
                    let wire = &mut *self.shared.lock();
                    ready!(wire.poll_flush(cx))?;
                    ready!(Pin::new(&mut wire.io).poll_shutdown(cx))?;
                    Some(match wire.is_being_sent(cx) {
                        true => End::Open,
                        false => End::Closed,
                    })
                }
            };
            if let Some(end) = end {
                return Poll::Ready(Ok(end));
            }
        }
    }

    /// The next request.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<End>, ServeError>> {
        ready!(self.service.poll_ready(cx)).map_err(|error| ServeError::Service(error.into()))?;
        match ready!(self.poll_request(cx)) {
            Ok(request) => {
                self.timer.progress();
                self.state = State::Answering(Box::pin(self.service.call(request)));
            }
            Err(Over::Done) => self.state = State::Closing,
            Err(Over::Gone) => return Poll::Ready(Ok(Some(End::Closed))),
            Err(Over::Refused(refusal)) => {
                tracing::debug!(error = %refusal, "a request was refused");
                self.close_with(refusal.status());
            }
        }
        Poll::Ready(Ok(None))
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Request<RequestBody>, Over>> {
        let shared = Arc::clone(&self.shared);
        let wire = &mut *shared.lock();
        loop {
            let has_begun = !wire.reader.bytes.is_empty();
            let read = if has_begun {
                let read = &mut wire.reader.bytes;
                let head = head::take(read, &mut self.places, self.config.limits);
                if let Some(head) = head.map_err(Over::Refused)? {
                    return Poll::Ready(Ok(self.begin(wire, head)));
                }
                wire.reader.poll_fill(&mut wire.io, cx)
            } else {
                if self.is_closing {
                    return Poll::Ready(Err(Over::Done));
                }
                wire.reader.poll_first(&mut wire.io, cx)
            };
            match read {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Over::Gone)),
                Poll::Pending => {
                    wire.outbox.rest();
                    self.places = Vec::new();
                    ready!(self.timer.poll_expired(self.config.head_timeout, cx));
                    return Poll::Ready(Err(match has_begun {
                        true => Over::Refused(Refusal::Late),
                        false => Over::Done,
                    }));
                }
            }
        }
    }

    /// Makes the request that the service gets.
    fn begin(&mut self, wire: &mut Wire<T>, head: Head) -> Request<RequestBody> {
        self.asked = Asked::of(&head.request, head.is_persistent);
        let line = || Arc::clone(&self.shared) as Arc<dyn Line>;
        wire.begin(head.expects_continue);
        let body = match head.body {
            head::Body::None => RequestBody::empty(),
            head::Body::Unknown => {
                wire.body = Incoming::Broken;
                RequestBody::http1(line(), None)
            }
            head::Body::Some(position) => {
                let body = RequestBody::http1(line(), position.left());
                wire.body = Incoming::Coming(position);
                body
            }
        };
        let mut request = head.request.map(|()| body);
        if request.version() == Version::HTTP_11 {
            let interim = Interim::http1(line(), wire.request);
            request.extensions_mut().insert(interim);
        }
        if head.asks_upgrade {
            let (grant, on_upgrade) = OnUpgrade::new();
            self.grant = Some(grant);
            request.extensions_mut().insert(on_upgrade);
        }
        request
    }

    /// Answers with this status and nothing else, and closes.
    fn close_with(&mut self, status: StatusCode) {
        let mut response = Response::new(RequestBody::empty());
        *response.status_mut() = status;
        self.asked = Asked::NOTHING;
        // What was under way ends here, with no lock held.
        self.state = State::Closing;
        let mut wire = self.shared.lock();
        response::encode(&response, &mut self.asked, wire.outbox.buffer());
    }

    /// Ready when the client is gone; sends what is there meanwhile.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Result<End, ServeError>> {
        let wire = &mut *self.shared.lock();
        wire.wait(cx);
        if !wire.outbox.is_empty() {
            // A write that waits is no reason not to look whether the client is gone.
            let _written = wire.poll_flush(cx)?;
        }
        wire.poll_gone(self.config.half_close, cx)
            .map(|()| Ok(End::Closed))
    }

    /// The head of the response.
    fn respond(&mut self, response: Response<B>, cx: &mut Context<'_>) {
        let status = response.status();
        let is_switch = status == StatusCode::SWITCHING_PROTOCOLS && self.grant.is_some();
        if status.is_informational() && !is_switch {
            tracing::warn!(%status, "a service gave an interim response for the response");
            return self.close_with(StatusCode::INTERNAL_SERVER_ERROR);
        }
        if !is_switch {
            self.grant = None;
        }
        let coding = {
            let mut wire = self.shared.lock();
            wire.is_answered = true;
            if self.is_closing || !wire.may_be_followed(cx) {
                self.asked.is_persistent = false;
            }
            response::encode(&response, &mut self.asked, wire.outbox.buffer())
        };
        // The future of the service ends here, with no lock held.
        self.state = match coding {
            Coding::None | Coding::Length(0) => State::Written,
            coding => State::Writing(Box::pin(response.into_body()), coding),
        };
    }

    /// The body of the response.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<End>, ServeError>> {
        let State::Writing(body, coding) = &mut self.state else {
            return Poll::Ready(Ok(None));
        };
        loop {
            let (has_room, takes) = {
                let mut wire = self.shared.lock();
                (wire.outbox.has_room(), Takes::by(&mut wire.io))
            };
            let frame = match has_room {
                true => takes.ask(|| body.as_mut().poll_frame(cx)),
                false => Poll::Pending,
            };
            let trailers = match frame {
                Poll::Pending => {
                    let wire = &mut *self.shared.lock();
                    let written = match has_room {
                        true => wire.poll_flush(cx)?,
                        false => wire.outbox.poll_write_all(&mut wire.io, cx)?,
                    };
                    if !has_room && written.is_ready() {
                        continue;
                    }
                    wire.wait(cx);
                    return wire
                        .poll_gone(self.config.half_close, cx)
                        .map(|()| Ok(Some(End::Closed)));
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(ServeError::Body(error.into())));
                }
                Poll::Ready(None) => None,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        coding.put(data.into(), &mut self.shared.lock().outbox)?;
                        if !coding.is_over() && !body.is_end_stream() {
                            continue;
                        }
                        None
                    }
                    Err(frame) => frame.into_trailers().ok(),
                },
            };
            coding.end(trailers, &mut self.shared.lock().outbox)?;
            self.state = State::Written;
            return Poll::Ready(Ok(None));
        }
    }

    /// What is there of the response goes out, and all of the request comes in.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<End>, ServeError>> {
        let wire = &mut *self.shared.lock();
        ready!(wire.poll_flush(cx))?;
        if let Some(grant) = self.grant.take() {
            wire.waker = None;
            let line = Arc::clone(&self.shared) as Arc<dyn Line>;
            // Nobody may want it any more.
            let _refused = grant.send(Upgraded::http1(line));
            return Poll::Ready(Ok(Some(End::Closed)));
        }
        if self.asked.is_persistent && wire.is_being_read() {
            wire.wait(cx);
            return Poll::Pending;
        }
        self.state = match self.asked.is_persistent && wire.may_be_followed(cx) {
            true => State::Head,
            false => State::Closing,
        };
        Poll::Ready(Ok(None))
    }
}

impl<T, S, B> Future for Http1Connection<T, S, B>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data: Into<SplicedData>>,
    B::Error: Into<BoxError>,
{
    type Output = Result<End, ServeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let end = ready!(self.poll_end(cx));
        // What is under way ends with the connection, and not when this is dropped.
        self.state = State::Closing;
        Poll::Ready(end)
    }
}

// Nothing in it is pinned but what is in boxes.
impl<T, S, B> Unpin for Http1Connection<T, S, B> where
    S: Service<Request<RequestBody>, Response = Response<B>>
{
}

impl<T, S, B> fmt::Debug for Http1Connection<T, S, B>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1Connection")
            .field("config", &self.config)
            .field("is_closing", &self.is_closing)
            .finish_non_exhaustive()
    }
}
