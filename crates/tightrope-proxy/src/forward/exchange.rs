//! One request out, one response back.

use std::{future::poll_fn, sync::Arc, task::Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tightrope_upstream::{Endpoint, Failed, Failure, Picked};

use crate::{
    ForwardBody, ForwardConfig, ForwardError, Preamble, check_request, classify,
    error::BoxError,
    forward::{Upload, answer::Answer, departing::Departing, service::Shared},
    h1::{Connection, ReadError, WriteError, Writer},
    pool::connect,
    timeout::poll_head_expired,
};

/// Why there is no response.
enum Ended {
    Unwritten(WriteError),
    Unread(ReadError),
    TimedOut,
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
    match sent {
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
    let config = &shared.config;
    check_request(&request)
        .and_then(|()| config.underscores.check(request.headers()))
        .map_err(|error| ForwardError::new(error.failure()).with_source(error))?;
    let preamble = request.extensions().get::<Preamble>().cloned();
    let (mut connection, mut is_reused) = match open(shared, &endpoint, preamble.as_ref()).await {
        Ok(opened) => opened,
        Err(error) => return Err(error.with_unsent(request, endpoint)),
    };
    let (departing, mut outgoing) = Departing::new(request, &endpoint, config);
    loop {
        let mut writer = Writer::new(departing.head(), outgoing, connection.begin());
        let upload = departing.upload();
        let ended = match respond(&mut connection, &mut writer, upload, config).await {
            Ok((response, is_written)) => {
                let unwritten = match is_written {
                    true => {
                        connection.keep(writer.into_parts().1);
                        None
                    }
                    false => Some(writer),
                };
                let answer = Answer::new(response, connection, departing, unwritten);
                return answer
                    .map_err(|error| ForwardError::new(Failure::Protocol).with_source(error));
            }
            Err(ended) => ended,
        };
        if let Some(error) = upload.and_then(Upload::take_error) {
            return Err(error);
        }
        let error = match ended {
            Ended::Unwritten(WriteError::Io(error)) if !writer.has_begun() => error,
            // RFC 9112 §9.3.1: the close of an idle connection may cross a request.
            Ended::Unread(error @ (ReadError::Closed | ReadError::Io(_)))
                if is_reused && upload.is_none() && !connection.has_received() =>
            {
                return Err(ForwardError::new(Failure::Stale).with_source(error));
            }
            ended => return Err(ended.into()),
        };
        outgoing = writer.into_parts().0;
        // The endpoint closed the connection while it was idle.
        let error = match is_reused {
            true => match open(shared, &endpoint, None).await {
                Ok(opened) => {
                    (connection, is_reused) = opened;
                    continue;
                }
                Err(error) => error,
            },
            false => ForwardError::new(Failure::Connect).with_source(error),
        };
        return Err(match departing.come_back(outgoing, config) {
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
) -> Result<(Box<Connection>, bool), ForwardError> {
    // Connections in the pool began with nothing, or for somebody else.
    if preamble.is_none()
        && let Some(connection) = shared.pool.take(endpoint)
    {
        return Ok((connection, true));
    }
    let connection = connect(endpoint.address(), preamble, &shared.config).await?;
    Ok((connection, false))
}

/// The head of the response, and whether the whole request was written before it.
async fn respond(
    connection: &mut Connection,
    writer: &mut Writer,
    upload: Option<&Upload>,
    config: &ForwardConfig,
) -> Result<(Response<()>, bool), Ended> {
    let (mut is_written, mut is_broken, mut interim) = (false, false, 0);
    poll_fn(|cx| {
        if !is_written && !is_broken {
            match connection.poll_write(writer, cx) {
                Poll::Ready(Ok(())) => is_written = true,
                // The endpoint may have said why it takes no more.
                Poll::Ready(Err(WriteError::Io(_))) if writer.has_begun() => is_broken = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Ended::Unwritten(error))),
                Poll::Pending => {}
            }
        }
        // What comes before the request is no response to it.
        if writer.has_begun() {
            match connection.poll_head(&mut interim, cx) {
                Poll::Ready(Ok(response)) => return Poll::Ready(Ok((response, is_written))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Ended::Unread(error))),
                Poll::Pending => {}
            }
        }
        poll_head_expired(config.head_timeout, upload, &mut connection.timer, cx)
            .map(|()| Err(Ended::TimedOut))
    })
    .await
}

// === impl Ended ===

impl From<Ended> for ForwardError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::TimedOut => Self::new(Failure::HeadTimeout),
            Ended::Unread(error) => error.into(),
            Ended::Unwritten(WriteError::Io(error)) => Self::new(Failure::Reset).with_source(error),
            // The body is not what it said it was.
            Ended::Unwritten(error) => Self::new(Failure::Local).with_source(error),
        }
    }
}

impl From<ReadError> for ForwardError {
    fn from(error: ReadError) -> Self {
        let failure = match error {
            ReadError::Io(_) | ReadError::Closed => Failure::Reset,
            ReadError::Head(_) | ReadError::TooLong | ReadError::Interim | ReadError::Chunk(_) => {
                Failure::Protocol
            }
        };
        Self::new(failure).with_source(error)
    }
}
