//! The response body on its way back.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tightrope_upstream::{Endpoint, Failed, Failure, Outcome, Pick};

use crate::{
    ForwardError, classify,
    forward::upload::Upload,
    hop_by_hop,
    pool::{Connection, Pool},
};

/// The body of a response as it comes from the endpoint, frame by frame.
///
/// It owns the pick: the place in flight is given back at the end of the body, after an error or
/// when this is dropped. A body that fails ends in an error and never looks complete, so a server
/// must abort the response then, as hyper's does.
///
/// # Cancellation
/// Dropping it before its end closes the connection to the endpoint and releases the pick with
/// [`Outcome::Cancelled`].
pub struct ForwardBody {
    /// None after a failure, and for the response to an upgrade.
    incoming: Option<Incoming>,
    /// How long the endpoint may send nothing.
    limit: Duration,
    upload: Option<Arc<Upload>>,
    lease: Option<Lease>,
    endpoint: Arc<Endpoint>,
}

/// What is given back at the end of a body.
pub(crate) struct Lease {
    pub(crate) pick: Pick,
    /// What a complete body means.
    pub(crate) outcome: Outcome,
    /// Dropping it would end the response.
    pub(crate) connection: Connection,
    pub(crate) is_reusable: bool,
    pub(crate) pool: Arc<Pool>,
}

// === impl ForwardBody ===

impl ForwardBody {
    pub(crate) fn new(
        incoming: Incoming,
        upload: Option<Arc<Upload>>,
        lease: Lease,
        limit: Duration,
    ) -> Self {
        let mut body = Self {
            incoming: Some(incoming),
            limit,
            upload,
            endpoint: Arc::clone(lease.pick.endpoint()),
            lease: Some(lease),
        };
        if let Some(lease) = &mut body.lease {
            lease.connection.timer.progress();
        }
        // Nobody polls a body that is empty from the start.
        body.finish_at_end();
        body
    }

    /// The body of the response to an upgrade, which has none.
    pub(crate) const fn none(endpoint: Arc<Endpoint>) -> Self {
        Self {
            incoming: None,
            limit: Duration::MAX,
            upload: None,
            lease: None,
            endpoint,
        }
    }

    /// The endpoint that gave the response, as it was when it was picked.
    #[must_use]
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Some servers do not poll past the last frame of a body whose length they know.
    fn finish_at_end(&mut self) {
        if self.incoming.as_ref().is_some_and(Body::is_end_stream) {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let Some(lease) = self.lease.take() else {
            return;
        };
        let Lease {
            mut pick,
            outcome,
            connection,
            is_reusable,
            pool,
        } = lease;
        pick.set_outcome(outcome);
        if is_reusable {
            pool.put(pick.endpoint(), connection);
        }
        if let Some(upload) = &self.upload {
            upload.hold(pick);
        }
    }

    fn fail(&mut self, error: ForwardError) -> ForwardError {
        // Closes the connection to the endpoint.
        self.incoming = None;
        if let Some(mut lease) = self.lease.take() {
            lease
                .pick
                .set_outcome(classify::of_failure(error.failure()));
        }
        error
    }

    fn upload_error(&self) -> Option<ForwardError> {
        self.upload.as_ref().and_then(|upload| upload.take_error())
    }
}

impl Body for ForwardBody {
    type Data = Bytes;
    type Error = ForwardError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ForwardError>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(lease) = &mut this.lease {
                    lease.connection.timer.progress();
                }
                if let Some(trailers) = frame.trailers_mut() {
                    hop_by_hop::strip_trailers(trailers);
                    this.finish();
                } else {
                    this.finish_at_end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                // The connection also ends where the client failed within its request.
                let cause = this.upload_error();
                let error =
                    cause.unwrap_or_else(|| ForwardError::new(Failure::Reset).with_source(error));
                Poll::Ready(Some(Err(this.fail(error))))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(lease) = &mut this.lease else {
                    return Poll::Pending;
                };
                let expired = lease.connection.timer.poll_expired(this.limit, cx);
                expired.map(|()| {
                    let error = ForwardError::new(Failure::BodyTimeout);
                    Some(Err(this.fail(error)))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let nothing = || SizeHint::with_exact(0);
        self.incoming.as_ref().map_or_else(nothing, Body::size_hint)
    }
}

impl fmt::Debug for ForwardBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardBody")
            .field("is_end_stream", &self.is_end_stream())
            .field("size_hint", &self.size_hint())
            .finish_non_exhaustive()
    }
}
