//! The head of a response, and what belongs to it.

use std::{future::poll_fn, sync::Arc};

use http::{Response, StatusCode, Version, header::CONNECTION};
use tightrope_upstream::Pick;

use crate::{
    ForwardBody, classify,
    forward::{
        Upload,
        body::{Lease, Uploading},
        departing::Departing,
        head,
        service::Shared,
    },
    h1::{Connection, Framing, FramingError, Position, Tunnel, Writer},
    hop_by_hop::has_token,
    upgrade::Asked,
};

/// A response that can be passed on.
pub(super) enum Answer {
    Response {
        response: Response<()>,
        framing: Framing,
        /// Kept while the response lasts: dropping it ends the connection.
        connection: Box<Connection>,
        is_reusable: bool,
        upload: Option<Arc<Upload>>,
        /// What of the request is still to be written.
        unwritten: Option<Writer>,
    },
    /// An upgrade that was asked for, and granted.
    Switch {
        response: Response<()>,
        asked: Asked,
        tunnel: Tunnel,
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
    /// Makes `response` one of this proxy.
    pub(super) fn new<B>(
        mut response: Response<()>,
        connection: Box<Connection>,
        departing: Departing<B>,
        unwritten: Option<Writer>,
    ) -> Result<Self, AnswerError> {
        let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let framing = Framing::take(
            departing.method(),
            response.status(),
            response.headers_mut(),
        )?;
        let headers = response.headers();
        let closes = headers.keys().any(|name| *name == CONNECTION)
            && has_token(headers, &CONNECTION, b"close");
        // RFC 9112 §9.3. In HTTP/1.0 a connection that stays open is an extension, with a bad history.
        let is_reusable = response.version() == Version::HTTP_11
            && !closes
            && framing != Framing::Close
            && unwritten.is_none()
            && !departing.has_preamble();
        let (asked, upload) = departing.into_asked();
        // RFC 9110 §15.2.2: only to what was asked for.
        let granted = asked.filter(|asked| is_switch && asked.is_granted(response.headers()));
        head::response(&mut response);
        if is_switch {
            let asked = granted.ok_or(AnswerError::Switch)?;
            let tunnel = connection.into_tunnel().ok_or(AnswerError::Switch)?;
            return Ok(Self::Switch {
                response,
                asked,
                tunnel,
            });
        }
        Ok(Self::Response {
            response,
            framing,
            connection,
            is_reusable,
            upload,
            unwritten,
        })
    }

    /// The response, whose body or tunnel holds `pick`.
    pub(super) fn into_response(self, shared: &Shared, mut pick: Pick) -> Response<ForwardBody> {
        match self {
            Self::Switch {
                mut response,
                asked,
                tunnel,
            } => {
                pick.answered(classify::of_status(response.status()));
                asked.mark(response.headers_mut());
                let body = ForwardBody::none(Arc::clone(pick.endpoint()));
                shared.tunnels.spawn(asked, tunnel, pick);
                response.map(|()| body)
            }
            Self::Response {
                response,
                framing,
                mut connection,
                is_reusable,
                upload,
                unwritten,
            } => {
                let outcome = classify::of_status(response.status());
                pick.answered(outcome);
                let mut uploading = None;
                if let Some(writer) = unwritten {
                    (connection, uploading) = go_on(*connection, writer);
                }
                connection.timer.progress();
                let lease = Lease {
                    pick,
                    outcome,
                    connection,
                    position: Position::start(framing),
                    is_reusable,
                    uploading,
                    pool: Arc::clone(&shared.pool),
                };
                let limit = shared.config.body_idle_timeout;
                response.map(|()| ForwardBody::new(upload, lease, limit))
            }
        }
    }
}

/// Writes the rest of a request while its response is read.
fn go_on(connection: Connection, mut writer: Writer) -> (Box<Connection>, Option<Uploading>) {
    let (connection, writing) = connection.split();
    let uploading = writing.map(|mut writing| {
        Uploading::new(tokio::spawn(async move {
            // Why it failed is in its `Upload`, or told by the end of the response.
            let _ended = poll_fn(|cx| writer.poll(&mut writing, cx)).await;
        }))
    });
    (connection, uploading)
}
