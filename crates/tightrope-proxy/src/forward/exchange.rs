//! One request out, one response back.

use std::{mem, sync::Arc, task::Context};

use bytes::Bytes;
use http::{Extensions, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use tightrope_upstream::{Endpoint, Failed, Failure, Pick, Picked};

use crate::{
    ForwardBody, ForwardConfig, ForwardError, Preamble, check_request, classify,
    error::BoxError,
    forward::{Outgoing, Upload, body::Lease, head, service::Shared},
    pool::{Connection, connect},
    timeout::poll_head_expired,
    upgrade::Asked,
};

/// What stays here while a request is out.
struct Kept<B> {
    version: Version,
    extensions: Extensions,
    /// The upgrade that was passed on.
    protocol: Option<&'static str>,
    /// The body, where there is nothing in it.
    empty: Option<B>,
}

/// A response head, and what belongs to it.
struct Answer {
    response: Response<Incoming>,
    /// Kept while the response lasts: dropping it ends the connection.
    connection: Connection,
    is_reusable: bool,
    upload: Option<Arc<Upload>>,
    /// The upgrade that was asked for, and then the one that was granted.
    upgrade: Option<Asked>,
}

/// Forwards `picked`. Whatever happens to the future, its pick is released.
pub(crate) async fn exchange<B>(
    shared: Arc<Shared>,
    picked: Picked<Request<B>>,
) -> Result<Response<ForwardBody>, ForwardError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (request, mut pick) = picked.into_parts();
    let sent = send(&shared, request, Arc::clone(pick.endpoint())).await;
    match sent.and_then(Answer::check) {
        Ok(answer) => Ok(answer.into_response(&shared, pick)),
        Err(error) => {
            pick.set_outcome(classify::of_failure(error.failure()));
            Err(error)
        }
    }
}

/// Sends `request` on a pooled connection or a new one, and on another where nothing of it was sent.
async fn send<B>(
    shared: &Shared,
    request: Request<B>,
    endpoint: Arc<Endpoint>,
) -> Result<Answer, ForwardError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    check_request(&request)
        .and_then(|()| shared.config.underscores.check(request.headers()))
        .map_err(|error| ForwardError::new(error.failure()).with_source(error))?;
    let config = &shared.config;
    let preamble = request.extensions().get::<Preamble>().cloned();
    let (mut connection, mut is_reused) = match open(shared, &endpoint, preamble.as_ref()).await {
        Ok(opened) => opened,
        Err(error) => return Err(error.with_unsent(request, endpoint)),
    };
    let (kept, mut outgoing, upload) = Kept::depart(request, &endpoint, config);
    loop {
        let expired = |timer: &mut _, cx: &mut Context<'_>| {
            poll_head_expired(config.head_timeout, upload.as_deref(), timer, cx)
        };
        let mut error = match connection.send(outgoing, expired).await {
            Some(Ok(response)) => {
                return Ok(Answer {
                    response,
                    connection,
                    is_reusable: preamble.is_none(),
                    upload,
                    upgrade: kept.into_asked(),
                });
            }
            Some(Err(error)) => error,
            None => return Err(ForwardError::new(Failure::HeadTimeout)),
        };
        if let Some(error) = upload.as_deref().and_then(Upload::take_error) {
            return Err(error);
        }
        let (message, error) = match error.take_message() {
            None => return Err(kept.failure(error.into_error(), is_reused)),
            // The endpoint closed the connection while it was idle.
            Some(message) if is_reused => match open(shared, &endpoint, None).await {
                Ok(opened) => {
                    (connection, is_reused) = opened;
                    outgoing = message;
                    continue;
                }
                Err(error) => (message, error),
            },
            Some(message) => {
                let error = ForwardError::new(Failure::Connect).with_source(error.into_error());
                (message, error)
            }
        };
        return Err(match kept.come_back(message, config) {
            Some(request) => error.with_unsent(request, endpoint),
            None => error,
        });
    }
}

/// A connection to `endpoint`, and whether it carried a request before.
async fn open(
    shared: &Shared,
    endpoint: &Endpoint,
    preamble: Option<&Preamble>,
) -> Result<(Connection, bool), ForwardError> {
    // Connections in the pool began with nothing, or for somebody else.
    if preamble.is_none()
        && let Some(connection) = shared.pool.take(endpoint)
    {
        return Ok((connection, true));
    }
    let limit = shared.config.connect_timeout;
    let connection = connect(endpoint.address(), preamble, limit).await?;
    Ok((connection, false))
}

// === impl Kept ===

impl<B> Kept<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Makes the request that goes out of the one that came in.
    fn depart(
        request: Request<B>,
        endpoint: &Endpoint,
        config: &ForwardConfig,
    ) -> (Self, Request<Outgoing>, Option<Arc<Upload>>) {
        let (mut parts, body) = request.into_parts();
        let version = parts.version;
        let protocol = config.upgrades.asked(&parts, &body);
        head::request(&mut parts, &body, protocol, endpoint, config);
        let extensions = mem::take(&mut parts.extensions);
        let (outgoing, upload, empty) = if body.is_end_stream() {
            (Outgoing::empty(), None, Some(body))
        } else {
            let upload = Arc::new(Upload::new());
            let limit = config.request_idle_timeout;
            let outgoing = Outgoing::new(body, Arc::clone(&upload), limit);
            (outgoing, Some(upload), None)
        };
        let kept = Self {
            version,
            extensions,
            protocol,
            empty,
        };
        (kept, Request::from_parts(parts, outgoing), upload)
    }

    /// Makes the request that came in of the one that did not go out after all. What ended at this
    /// hop stays away.
    fn come_back(self, message: Request<Outgoing>, config: &ForwardConfig) -> Option<Request<B>> {
        let (mut parts, outgoing) = message.into_parts();
        head::restore(&mut parts, self.version, config);
        parts.extensions = self.extensions;
        let body = self.empty.or_else(|| outgoing.into_unsent())?;
        Some(Request::from_parts(parts, body))
    }

    /// The upgrade that the client asked for.
    fn into_asked(mut self) -> Option<Asked> {
        Asked::new(self.protocol?, &mut self.extensions)
    }

    /// Why there is no response.
    fn failure(&self, error: hyper::Error, is_reused: bool) -> ForwardError {
        // RFC 9112 §9.3.1: the close of an idle connection may cross a request.
        if is_reused && self.empty.is_some() && !error.is_parse() {
            return ForwardError::new(Failure::Stale).with_source(error);
        }
        ForwardError::exchange(error)
    }
}

// === impl Answer ===

impl Answer {
    /// Refuses what could not be passed on safely, and makes the rest a response of this proxy.
    fn check(mut self) -> Result<Self, ForwardError> {
        let is_switch = self.response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if self.response.version() != Version::HTTP_11 {
            // hyper would speak HTTP/1.0 on it from now on, which cannot carry every request.
            self.is_reusable = false;
        }
        self.upgrade = self.upgrade.filter(|_| is_switch);
        if is_switch {
            // RFC 9110 §15.2.2: only to what was asked for.
            let asked = self.upgrade.as_ref();
            let granted = asked.is_some_and(|asked| asked.is_granted(self.response.headers()));
            if !granted {
                return Err(ForwardError::new(Failure::Protocol)
                    .with_source("response switches to a protocol that was not asked for"));
            }
        }
        let (mut parts, body) = self.response.into_parts();
        head::response(&mut parts)
            .map_err(|error| ForwardError::new(Failure::Protocol).with_source(error))?;
        self.response = Response::from_parts(parts, body);
        Ok(self)
    }

    fn into_response(self, shared: &Shared, mut pick: Pick) -> Response<ForwardBody> {
        let Self {
            mut response,
            connection,
            is_reusable,
            upload,
            upgrade,
        } = self;
        let outcome = classify::of_status(response.status());
        pick.answered(outcome);
        if let Some(asked) = upgrade {
            asked.mark(response.headers_mut());
            let endpoint = hyper::upgrade::on(&mut response);
            let body = ForwardBody::none(Arc::clone(pick.endpoint()));
            shared.tunnels.spawn(asked, (connection, endpoint), pick);
            return response.map(|_empty| body);
        }
        let lease = Lease {
            pick,
            outcome,
            connection,
            is_reusable,
            pool: Arc::clone(&shared.pool),
        };
        let limit = shared.config.body_idle_timeout;
        response.map(|incoming| ForwardBody::new(incoming, upload, lease, limit))
    }
}
