//! One request out, one response back.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use tightrope_upstream::{Endpoint, Failed, Failure, Pick, Picked};

use crate::{
    ForwardBody, ForwardConfig, ForwardError, Preamble, check_request, classify,
    error::BoxError,
    forward::{Outgoing, Upload, body::Lease, head, service::Shared},
    pool::{Connection, Key, connect},
    timeout,
    upgrade::Asked,
};

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

/// What came of sending a request on one connection.
enum Sent<B> {
    Answered(Answer),
    /// Nothing of the request was sent; it is as it was.
    Unsent(Request<B>, hyper::Error),
    /// The connection ended before the response head was complete. The request is as it was and
    /// has no body.
    Lost(Request<B>, hyper::Error),
    Failed(ForwardError),
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
    let endpoint = Arc::clone(pick.endpoint());
    match send(&shared, request, endpoint)
        .await
        .and_then(Answer::check)
    {
        Ok(answer) => Ok(answer.into_response(&shared, pick)),
        Err(error) => {
            pick.set_outcome(classify::of_failure(error.failure()));
            Err(error)
        }
    }
}

/// Sends `request` on a pooled connection or a new one, again only where that is safe.
async fn send<B>(
    shared: &Shared,
    mut request: Request<B>,
    endpoint: Arc<Endpoint>,
) -> Result<Answer, ForwardError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    check_request(&request)
        .map_err(|error| ForwardError::new(error.failure()).with_source(error))?;
    let is_idempotent = head::is_idempotent(request.method());
    let key = Key::new(&endpoint);
    // Connections in the pool began with nothing, or for somebody else.
    let preamble = request.extensions().get::<Preamble>().cloned();
    let mut pooled = match preamble {
        Some(_) => None,
        None => shared.pool.take(&key),
    };
    loop {
        let is_reused = pooled.is_some();
        let connection = match pooled.take() {
            Some(connection) => connection,
            None => {
                let limit = shared.config.connect_timeout;
                match connect(endpoint.address(), preamble.as_ref(), limit).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        return Err(ForwardError::from(error).with_unsent(request, endpoint));
                    }
                }
            }
        };
        request = match send_on(connection, request, &endpoint, &shared.config).await {
            Sent::Answered(answer) => return Ok(answer),
            Sent::Failed(error) => return Err(error),
            // The endpoint closed the connection while it was idle.
            Sent::Unsent(request, _) if is_reused => {
                pooled = shared.pool.take(&key);
                request
            }
            Sent::Unsent(request, error) => {
                return Err(ForwardError::new(Failure::Connect)
                    .with_source(error)
                    .with_unsent(request, endpoint));
            }
            // RFC 9112 §9.3.1: the close of an idle connection may cross the request, which may
            // then be sent again if it is idempotent. Once: the next connection is a new one.
            Sent::Lost(request, _) if is_reused && is_idempotent => request,
            Sent::Lost(_, error) => return Err(ForwardError::exchange(error)),
        };
    }
}

async fn send_on<B>(
    mut connection: Connection,
    request: Request<B>,
    endpoint: &Endpoint,
    config: &ForwardConfig,
) -> Sent<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = request.into_parts();
    let protocol = config.upgrades.asked(&parts, &body);
    let head = head::request(&parts, &body, protocol, endpoint, config);
    let (outgoing, upload, empty) = if body.is_end_stream() {
        (Outgoing::empty(), None, Some(body))
    } else {
        let upload = Arc::new(Upload::new());
        let limit = config.request_idle_timeout;
        let outgoing = Outgoing::new(body, Arc::clone(&upload), limit);
        (outgoing, Some(upload), None)
    };
    let response = connection.send(head.map(|()| outgoing));
    let mut error = match timeout::head(response, config.head_timeout, upload.as_deref()).await {
        Ok(Ok(response)) => {
            return Sent::Answered(Answer {
                response,
                connection,
                is_reusable: parts.extensions.get::<Preamble>().is_none(),
                upload,
                upgrade: protocol.and_then(|protocol| Asked::new(protocol, &mut parts)),
            });
        }
        Ok(Err(error)) => error,
        Err(_elapsed) => return Sent::Failed(ForwardError::new(Failure::HeadTimeout)),
    };
    if let Some(error) = upload.and_then(|upload| upload.take_error()) {
        return Sent::Failed(error);
    }
    let unsent = error.take_message();
    let error_of = |error: hyper::client::conn::TrySendError<_>| error.into_error();
    match (unsent, empty) {
        (Some(_), Some(body)) => Sent::Unsent(Request::from_parts(parts, body), error_of(error)),
        (Some(message), None) => match message.into_body().into_unsent() {
            Some(body) => Sent::Unsent(Request::from_parts(parts, body), error_of(error)),
            None => Sent::Failed(ForwardError::exchange(error_of(error))),
        },
        (None, Some(body)) => match error_of(error) {
            error if error.is_parse() => Sent::Failed(ForwardError::exchange(error)),
            error => Sent::Lost(Request::from_parts(parts, body), error),
        },
        (None, None) => Sent::Failed(ForwardError::exchange(error_of(error))),
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
