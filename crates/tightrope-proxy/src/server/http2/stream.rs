//! One request and its response.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    head::{self, Rest},
    inflow::Inflow,
    outflow::Outflow,
    reply::Held,
    tunnel::Tunnel,
};
use crate::{
    server::{Interim, OnUpgrade, RequestBody, Upgraded, ended::BoxError, upgrade::Grant},
    splice::SplicedData,
};

pin_project! {
    /// Answers one request. Dropping it before its end resets the stream.
    pub(super) struct Stream<F, B> {
        reply: Held,
        // Where the request asks for a tunnel.
        tunnel: Option<(Grant, RecvStream)>,
        is_head: bool,
        write_timeout: Duration,
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<F, B> {
        Answering { #[pin] answer: F },
        Writing { #[pin] body: B, outflow: Outflow },
    }
}

/// A stream without its service, which is asked next.
pub(super) struct Opened {
    reply: Held,
    tunnel: Option<(Grant, RecvStream)>,
    is_head: bool,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// The response began, at the least.
    Answered,
    /// The client did not wait for the response.
    GivenUp,
}

/// Why a response is not sent to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Stream(#[from] h2::Error),
    #[error("the client wants no more of it: {0}")]
    Reset(Reason),
    #[error("the service gave no response")]
    Service(#[source] BoxError),
    #[error("the response body failed")]
    Body(#[source] BoxError),
    #[error("the response body is not as long as its Content-Length")]
    Length,
    #[error("the client takes nothing of the response")]
    Stalled,
}

// === impl Opened ===

impl Opened {
    /// What came, as the service gets it.
    pub(super) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> (Request<RequestBody>, Self) {
        let reply = Held::new(respond);
        let is_head = *request.method() == Method::HEAD;
        let is_connect = *request.method() == Method::CONNECT;
        let length = head::length(&request);
        let expects = head::expects_continue(&request);
        let (parts, body) = request.into_parts();
        let mut tunnel = None;
        let mut on_upgrade = None;
        let body = if is_connect {
            let (grant, granted) = OnUpgrade::new();
            tunnel = Some((grant, body));
            on_upgrade = Some(granted);
            RequestBody::empty()
        } else if body.is_end_stream() {
            RequestBody::empty()
        } else {
            let reply = expects.then(|| reply.reply().clone());
            RequestBody::http2(Inflow::new(body, reply), length)
        };
        let mut request = Request::from_parts(parts, body);
        let extensions = request.extensions_mut();
        extensions.insert(Interim::http2(reply.reply().clone()));
        if let Some(on_upgrade) = on_upgrade {
            extensions.insert(on_upgrade);
        }
        let opened = Self {
            reply,
            tunnel,
            is_head,
        };
        (request, opened)
    }

    /// Answers with what comes of this.
    pub(super) fn answer<F, B>(self, answer: F, write_timeout: Duration) -> Stream<F, B> {
        Stream {
            reply: self.reply,
            tunnel: self.tunnel,
            is_head: self.is_head,
            write_timeout,
            state: State::Answering { answer },
        }
    }

    /// Answers with this status, and does not ask the service.
    pub(super) fn refuse(self, status: StatusCode) {
        let mut response = Response::new(());
        *response.status_mut() = status;
        head::prepare(&mut response, &RequestBody::empty(), self.is_head);
        if let Some(mut respond) = self.reply.take() {
            // The client may have given it up.
            let _sent = respond.send_response(response, true);
        }
    }
}

// === impl Stream ===

impl<F, B, E> Stream<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data: Into<SplicedData>>,
    B::Error: Into<BoxError>,
{
    /// The head of the response. Ready where nothing follows it.
    fn respond(mut self: Pin<&mut Self>, response: Response<B>) -> Poll<Result<(), Broken>> {
        let mut this = self.as_mut().project();
        let Some(mut respond) = this.reply.take() else {
            return Poll::Ready(Ok(()));
        };
        let (parts, body) = response.into_parts();
        let mut response = Response::from_parts(parts, ());
        let status = response.status();
        if let Some((grant, receive)) = this.tunnel.take_if(|_| status.is_success()) {
            head::prepare_tunnel(response.headers_mut());
            let send = respond.send_response(response, false)?;
            // Nobody may want it any more.
            let _refused = grant.send(Upgraded::http2(Tunnel::new(send, receive)));
            return Poll::Ready(Ok(()));
        }
        *this.tunnel = None;
        let rest = if status.is_informational() {
            tracing::warn!(%status, "a service gave an interim response for the response");
            response = Response::new(());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            head::prepare(&mut response, &RequestBody::empty(), *this.is_head)
        } else {
            head::prepare(&mut response, &body, *this.is_head)
        };
        match rest {
            Rest::Nothing => {
                respond.send_response(response, true)?;
                Poll::Ready(Ok(()))
            }
            Rest::Missing => {
                respond.send_reset(Reason::INTERNAL_ERROR);
                Poll::Ready(Err(Broken::Length))
            }
            Rest::Body(left) => {
                let stream = respond.send_response(response, false)?;
                let outflow = Outflow::new(stream, left);
                // The future of the service ends here.
                this.state.set(State::Writing { body, outflow });
                Poll::Pending
            }
        }
    }
}

impl<F, B, E> Future for Stream<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data: Into<SplicedData>>,
    B::Error: Into<BoxError>,
{
    type Output = StreamEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<StreamEnd> {
        let ended = loop {
            let this = self.as_mut().project();
            match this.state.project() {
                StateProjected::Answering { answer } => match answer.poll(cx) {
                    Poll::Ready(Ok(response)) => {
                        if let Poll::Ready(ended) = self.as_mut().respond(response) {
                            break ended;
                        }
                    }
                    Poll::Ready(Err(error)) => {
                        if let Some(mut respond) = this.reply.take() {
                            respond.send_reset(Reason::INTERNAL_ERROR);
                        }
                        break Err(Broken::Service(error.into()));
                    }
                    Poll::Pending => {
                        ready!(this.reply.poll_reset(cx));
                        return Poll::Ready(StreamEnd::GivenUp);
                    }
                },
                StateProjected::Writing { body, outflow } => {
                    let written = ready!(outflow.poll(body, *this.write_timeout, cx));
                    match &written {
                        Err(Broken::Body(_) | Broken::Length) => {
                            outflow.reset(Reason::INTERNAL_ERROR);
                        }
                        Err(Broken::Stalled) => outflow.reset(Reason::CANCEL),
                        _ => {}
                    }
                    break written;
                }
            }
        };
        if let Err(error) = ended {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "a response was not sent");
        }
        Poll::Ready(StreamEnd::Answered)
    }
}
