//! How a request goes out over HTTP/2.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest};
use http::{Response, request::Parts};
use tightrope_upstream::Failure;

use crate::{
    ForwardError,
    forward::{Outgoing, Upload, exchange::Ended, head},
    h2::{self as http2, WriteError, Writer, is_unprocessed},
    pool::Stream,
    timeout::{IdleTimer, Waits},
};

/// The head of a response with what follows it, and where it came from.
pub(super) struct Answered {
    pub(super) response: Response<RecvStream>,
    pub(super) stream: Arc<Stream>,
    /// What of the request is still to be written.
    pub(super) unwritten: Option<Box<Writer>>,
}

/// Why a stream gave no response.
enum Broken {
    Stream(::h2::Error),
    /// Why is in the upload.
    Upload,
    Interim,
    TimedOut(Failure),
}

/// Sends the request with this head on `stream`, and waits for the head of the response.
pub(super) async fn send(
    (stream, mut requests): (Arc<Stream>, SendRequest<Bytes>),
    is_reused: bool,
    parts: &Parts,
    outgoing: Option<Box<Outgoing>>,
    upload: Option<&Upload>,
    waits: Waits<'_>,
) -> Result<Answered, Ended> {
    let failed = |failure| ForwardError::new(failure);
    let request = http2::outgoing(parts, stream.connection.scheme());
    let request =
        request.map_err(|error| Ended::Failed(failed(Failure::Downstream).with_source(error)))?;
    let (mut response, sending) = match requests.send_request(request, outgoing.is_none()) {
        Ok(sent) => sent,
        // The connection was closed meanwhile.
        Err(error) => {
            let error = failed(Failure::Connect).with_source(error);
            return Err(Ended::Unsent { error, outgoing });
        }
    };
    let mut writer = outgoing.map(|body| Writer::new(sending, body));
    let mut timer = IdleTimer::default();
    let (mut is_written, mut is_broken) = (writer.is_none(), false);
    let mut interim = 0;
    let broken = poll_fn(|cx| {
        if let Some(writer) = &mut writer
            && !is_written
            && !is_broken
        {
            match writer.poll(cx) {
                Poll::Ready(Ok(())) => is_written = true,
                // The endpoint may have said why it takes no more.
                Poll::Ready(Err(WriteError::Stream(_))) => is_broken = true,
                Poll::Ready(Err(WriteError::Body)) => return Poll::Ready(Err(Broken::Upload)),
                Poll::Pending => {}
            }
        }
        // What the response itself would pass over.
        while let Poll::Ready(Some(Ok(came))) = response.poll_informational(cx) {
            interim += 1;
            if interim > head::MAX_INTERIM {
                return Poll::Ready(Err(Broken::Interim));
            }
            head::pass_interim(came, parts);
        }
        if let Poll::Ready(answered) = Pin::new(&mut response).poll(cx) {
            return Poll::Ready(answered.map_err(Broken::Stream));
        }
        waits
            .poll_over(upload, &mut timer, cx)
            .map(|failure| Err(Broken::TimedOut(failure)))
    });
    let broken = match broken.await {
        Ok(response) => {
            let unwritten = writer.filter(|_| !is_written).map(Box::new);
            return Ok(Answered {
                response,
                stream,
                unwritten,
            });
        }
        Err(broken) => broken,
    };
    if let Some(error) = upload.and_then(Upload::take_error) {
        return Err(Ended::Failed(error));
    }
    Err(match broken {
        Broken::Upload => Ended::Failed(failed(Failure::Local)),
        Broken::Interim => Ended::Failed(failed(Failure::Protocol)),
        Broken::TimedOut(failure) => {
            if failure == Failure::HeadTimeout {
                // Other requests must not wait for one that is gone.
                stream.connection.doubt();
            }
            Ended::Failed(failed(failure))
        }
        Broken::Stream(error) if is_unprocessed(&error) => {
            let is_over = error.is_go_away();
            let error = failed(Failure::Refused).with_source(error);
            match writer.map(|writer| writer.into_body().into_whole()) {
                Some(None) => Ended::Failed(error),
                outgoing if is_over => Ended::Unsent {
                    error,
                    outgoing: outgoing.flatten(),
                },
                outgoing => Ended::Refused {
                    error,
                    outgoing: outgoing.flatten(),
                },
            }
        }
        // As with HTTP/1.1, where nothing else was under way that the end could be meant for.
        Broken::Stream(error)
            if is_reused && upload.is_none() && error.is_io() && stream.was_idle =>
        {
            Ended::Failed(failed(Failure::Stale).with_source(error))
        }
        Broken::Stream(error) => Ended::Failed(failed(http2::failure(&error)).with_source(error)),
    })
}
