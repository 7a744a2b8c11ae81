//! How a request goes out over HTTP/1.1.

use std::{future::poll_fn, task::Poll};

use http::{Response, request::Parts};
use tightrope_upstream::Failure;

use crate::{
    ForwardError,
    forward::{Outgoing, Upload, exchange::Ended, head},
    h1::{Connection, ReadError, WriteError, Writer},
    timeout::Waits,
};

/// The head of a response, and where it came from.
pub(super) struct Answered {
    pub(super) response: Response<()>,
    pub(super) connection: Box<Connection>,
    /// What of the request is still to be written.
    pub(super) unwritten: Option<Box<Writer>>,
}

/// Why a connection gave no response.
enum Broken {
    Unwritten(WriteError),
    Unread(ReadError),
    Interim,
    TimedOut(Failure),
}

/// Sends the head of `request`, and what goes out after it, on `connection`, and waits for the head of the response.
pub(super) async fn send(
    mut connection: Box<Connection>,
    is_reused: bool,
    request: &Parts,
    outgoing: Option<Box<Outgoing>>,
    upload: Option<&Upload>,
    waits: Waits<'_>,
) -> Result<Answered, Ended> {
    let mut writer = Writer::new(request, outgoing, connection.begin());
    let broken = match respond(&mut connection, &mut writer, request, upload, waits).await {
        Ok((response, true)) => {
            connection.keep(writer.into_buffer());
            return Ok(Answered {
                response,
                connection,
                unwritten: None,
            });
        }
        Ok((response, false)) => {
            return Ok(Answered {
                response,
                connection,
                unwritten: Some(Box::new(writer)),
            });
        }
        Err(broken) => broken,
    };
    if let Some(error) = upload.and_then(Upload::take_error) {
        return Err(Ended::Failed(error));
    }
    Err(match broken {
        Broken::Unwritten(WriteError::Io(error)) if !writer.has_begun() => Ended::Unsent {
            error: ForwardError::new(Failure::Connect).with_source(error),
            outgoing: writer.into_unsent(),
        },
        // RFC 9112 §9.3.1: the close of an idle connection may cross a request.
        Broken::Unread(error @ (ReadError::Closed | ReadError::Io(_)))
            if is_reused && upload.is_none() && !connection.has_received() =>
        {
            Ended::Failed(ForwardError::new(Failure::Stale).with_source(error))
        }
        broken => Ended::Failed(broken.into()),
    })
}

/// The head of the response, and whether the whole request was written before it.
fn respond(
    connection: &mut Connection,
    writer: &mut Writer,
    request: &Parts,
    upload: Option<&Upload>,
    waits: Waits<'_>,
) -> impl Future<Output = Result<(Response<()>, bool), Broken>> {
    let (mut is_written, mut is_broken, mut interim) = (false, false, 0);
    poll_fn(move |cx| {
        if !is_written && !is_broken {
            match connection.poll_write(writer, cx) {
                Poll::Ready(Ok(())) => is_written = true,
                // The endpoint may have said why it takes no more.
                Poll::Ready(Err(WriteError::Io(_))) if writer.has_begun() => is_broken = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Unwritten(error))),
                Poll::Pending => {}
            }
        }
        // What comes before the request is no response to it.
        while writer.has_begun() {
            match connection.poll_head(cx) {
                Poll::Ready(Ok(response)) if head::is_interim(response.status()) => {
                    interim += 1;
                    if interim > head::MAX_INTERIM {
                        return Poll::Ready(Err(Broken::Interim));
                    }
                    head::pass_interim(response, request);
                }
                Poll::Ready(Ok(response)) => return Poll::Ready(Ok((response, is_written))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::Unread(error))),
                Poll::Pending => break,
            }
        }
        waits
            .poll_over(upload, &mut connection.timer, cx)
            .map(|failure| Err(Broken::TimedOut(failure)))
    })
}

// === impl Broken ===

impl From<Broken> for ForwardError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::TimedOut(failure) => Self::new(failure),
            Broken::Unread(error) => error.into(),
            Broken::Interim => Self::new(Failure::Protocol),
            Broken::Unwritten(WriteError::Io(error)) => {
                Self::new(Failure::Reset).with_source(error)
            }
            // The body is not what it said it was.
            Broken::Unwritten(error) => Self::new(Failure::Local).with_source(error),
        }
    }
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Self {
        Self::Failed(broken.into())
    }
}

impl From<ReadError> for ForwardError {
    fn from(error: ReadError) -> Self {
        let failure = match error {
            ReadError::Io(_) | ReadError::Closed => Failure::Reset,
            ReadError::Head(_) | ReadError::TooLong(_) | ReadError::Chunk(_) => Failure::Protocol,
        };
        Self::new(failure).with_source(error)
    }
}
