//! The head of a response, and what belongs to it.

use std::{future::poll_fn, sync::Arc};

use http::{Response, StatusCode, Version};
use tightrope_upstream::{Failure, Patience, Pick};

use crate::{
    ForwardBody, ForwardError, classify,
    forward::{
        Upload,
        body::{Incoming, Lease, Uploading},
        departing::Departing,
        head, http1, http2,
        service::Shared,
    },
    h1::{Connection, Framing, FramingError, Position, Writer},
    h2,
    io::{Early, Io},
    pool::Open,
    upgrade::Asked,
};

/// The head of a response as it came.
pub(super) enum Received {
    Http1 {
        answered: http1::Answered,
        open: Open,
    },
    Http2(http2::Answered),
}

/// A response that can be passed on.
pub(super) enum Answer {
    Response {
        response: Response<()>,
        incoming: Incoming,
        upload: Option<Arc<Upload>>,
        /// The rest of the request.
        uploading: Option<Uploading>,
    },
    /// An upgrade that was asked for, and granted.
    Switch {
        response: Response<()>,
        asked: Asked,
        tunnel: Early<Io>,
        open: Open,
    },
}

/// What cannot be passed on safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AnswerError {
    #[error("response switches to a protocol that was not asked for")]
    Switch,
    #[error(transparent)]
    Framing(#[from] FramingError),
}

impl Answer {
    /// Makes what was received a response of this proxy.
    pub(super) fn new<B>(
        received: Received,
        departing: &mut Departing<B>,
    ) -> Result<Self, ForwardError> {
        match received {
            Received::Http1 { answered, open } => Self::of_http1(answered, open, departing),
            Received::Http2(answered) => Self::of_http2(answered, departing),
        }
        .map_err(|error| ForwardError::new(Failure::Protocol).with_source(error))
    }

    fn of_http1<B>(
        answered: http1::Answered,
        open: Open,
        departing: &mut Departing<B>,
    ) -> Result<Self, AnswerError> {
        let http1::Answered {
            mut response,
            connection,
            unwritten,
        } = answered;
        let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let framing = Framing::take(
            departing.method(),
            response.status(),
            response.headers_mut(),
        )?;
        if is_switch {
            let asked = departing.take_asked();
            // RFC 9110 §15.2.2: only to what was asked for.
            let granted = asked.filter(|asked| asked.is_granted(response.headers()));
            head::response(&mut response);
            return Ok(Self::Switch {
                response,
                asked: granted.ok_or(AnswerError::Switch)?,
                tunnel: connection.into_tunnel().ok_or(AnswerError::Switch)?,
                open,
            });
        }
        // In HTTP/1.0 a connection that stays open is an extension, with a bad history.
        let is_persistent = response.version() == Version::HTTP_11;
        let closes = head::response(&mut response);
        // RFC 9112 §9.3.
        let is_reusable = is_persistent
            && !closes
            && framing != Framing::Close
            && unwritten.is_none()
            && departing.preamble().is_none();
        let (connection, uploading) = match unwritten {
            Some(writer) => go_on(*connection, writer),
            None => (connection, None),
        };
        Ok(Self::Response {
            response,
            incoming: Incoming::Http1 {
                connection,
                open,
                position: Position::start(framing),
                is_reusable,
            },
            upload: departing.take_upload(),
            uploading,
        })
    }

    fn of_http2<B>(
        answered: http2::Answered,
        departing: &mut Departing<B>,
    ) -> Result<Self, AnswerError> {
        let http2::Answered {
            response,
            stream,
            unwritten,
        } = answered;
        let (parts, body) = response.into_parts();
        let mut response = Response::from_parts(parts, ());
        let (method, status) = (departing.method(), response.status());
        let left = match Framing::take(method, status, response.headers_mut())? {
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::Close => None,
        };
        let is_early = unwritten.is_some();
        let uploading = unwritten.map(|mut writer| {
            let stream = Arc::clone(&stream);
            Uploading::spawn(async move {
                let _ended = poll_fn(|cx| writer.poll(cx)).await;
                drop(stream);
            })
        });
        let reader = h2::Reader::new(body, left, is_early, stream);
        head::response(&mut response);
        Ok(Self::Response {
            response,
            incoming: Incoming::Http2(Box::new(reader)),
            upload: departing.take_upload(),
            uploading,
        })
    }

    /// The response, whose body or tunnel holds `pick`.
    pub(super) fn into_response(
        self,
        shared: &Shared,
        mut pick: Pick,
        patience: Option<&Patience>,
    ) -> Response<ForwardBody> {
        match self {
            Self::Switch {
                mut response,
                asked,
                tunnel,
                open,
            } => {
                pick.answered(classify::of_status(response.status()));
                asked.mark(response.headers_mut());
                let body = ForwardBody::none(Arc::clone(pick.endpoint()));
                shared.tunnels.spawn(asked, tunnel, pick, open);
                response.map(|()| body)
            }
            Self::Response {
                response,
                mut incoming,
                upload,
                uploading,
            } => {
                let outcome = classify::of_status(response.status());
                pick.answered(outcome);
                incoming.timer().progress();
                let lease = Lease {
                    pick,
                    outcome,
                    incoming,
                    uploading,
                };
                let deadline = patience.and_then(Patience::deadline);
                response.map(|()| ForwardBody::new(upload, lease, &shared.config, deadline))
            }
        }
    }
}

/// Writes the rest of a request while its response is read. Why it fails is in its `Upload`, or told by the end
/// of the response.
fn go_on(connection: Connection, mut writer: Box<Writer>) -> (Box<Connection>, Option<Uploading>) {
    let (connection, writing) = connection.split();
    let uploading = writing.map(|mut writing| {
        Uploading::spawn(async move {
            let _ended = poll_fn(|cx| writer.poll(&mut writing, cx)).await;
        })
    });
    (connection, uploading)
}
