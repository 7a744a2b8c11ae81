//! The response body on its way back.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tightrope_upstream::{Endpoint, Failed, Failure, Outcome, Pick};
use tokio::{task::JoinHandle, time::Instant};

use crate::{
    ForwardConfig, ForwardError, classify,
    forward::upload::Upload,
    h1::{Connection, Piece, Position},
    h2::{self, Reader},
    hop_by_hop,
    pool::Open,
    splice::{Spliced, SplicedData, Takes},
    timeout::{Credit, IdleTimer},
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
    /// In a box: a response is moved through many layers, and its body with it.
    state: Box<State>,
}

struct State {
    /// None at the end, after a failure, and for the response to an upgrade.
    lease: Option<Lease>,
    /// How long the endpoint may send nothing.
    limit: Duration,
    /// For how long all together, where it must not be too slow.
    credit: Option<Credit>,
    /// When the body must have ended.
    deadline: Option<Instant>,
    upload: Option<Arc<Upload>>,
    endpoint: Arc<Endpoint>,
}

/// What is given back at the end of a body.
pub(super) struct Lease {
    pub(super) pick: Pick,
    /// What a complete body means.
    pub(super) outcome: Outcome,
    /// Dropping it would end the response.
    pub(super) incoming: Incoming,
    /// The rest of the request.
    pub(super) uploading: Option<Uploading>,
}

/// Where a response comes from.
pub(super) enum Incoming {
    Http1 {
        connection: Box<Connection>,
        open: Open,
        position: Position,
        is_reusable: bool,
    },
    /// Boxed, as a response is moved through many layers.
    Http2(Box<Reader>),
}

/// A task that writes the rest of a request; dropping this ends it.
#[derive(Debug)]
pub(super) struct Uploading {
    task: Option<JoinHandle<()>>,
}

// === impl ForwardBody ===

impl ForwardBody {
    pub(super) fn new(
        upload: Option<Arc<Upload>>,
        lease: Lease,
        config: &ForwardConfig,
        deadline: Option<Instant>,
    ) -> Self {
        let mut state = Box::new(State {
            limit: config.body_idle_timeout,
            credit: config.min_response_rate.map(Credit::new),
            deadline,
            upload,
            endpoint: Arc::clone(lease.pick.endpoint()),
            lease: Some(lease),
        });
        // Nobody polls a body that is empty from the start.
        state.finish_at_end();
        Self { state }
    }

    /// The body of the response to an upgrade, which has none.
    pub(super) fn none(endpoint: Arc<Endpoint>) -> Self {
        Self {
            state: Box::new(State {
                lease: None,
                limit: Duration::MAX,
                credit: None,
                deadline: None,
                upload: None,
                endpoint,
            }),
        }
    }

    /// The endpoint that gave the response, as it was when it was picked.
    #[must_use]
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.state.endpoint
    }
}

impl Body for ForwardBody {
    type Data = Bytes;
    type Error = ForwardError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ForwardError>>> {
        let frame = self.state.poll_frame(Takes::Bytes, cx);
        frame.map_ok(|frame| frame.map_data(Bytes::from))
    }

    fn is_end_stream(&self) -> bool {
        self.state.lease.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state.lease {
            Some(lease) => lease
                .incoming
                .left()
                .map_or_else(SizeHint::new, SizeHint::with_exact),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Body for Spliced<ForwardBody> {
    type Data = SplicedData;
    type Error = ForwardError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<SplicedData>, ForwardError>>> {
        self.body.state.poll_frame(Takes::now(), cx)
    }

    fn is_end_stream(&self) -> bool {
        self.get_ref().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.get_ref().size_hint()
    }
}

// === impl State ===

impl State {
    fn poll_frame(
        &mut self,
        takes: Takes,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<SplicedData>, ForwardError>>> {
        if self.lease.is_some() && self.is_late() {
            return Poll::Ready(Some(Err(self.time_out())));
        }
        let Some(lease) = &mut self.lease else {
            return Poll::Ready(None);
        };
        if let Some(uploading) = &mut lease.uploading
            && uploading.poll_end(cx).is_ready()
        {
            lease.uploading = None;
            // What the client did not send, the endpoint waits for in vain.
            if let Some(error) = self.upload_error() {
                return Poll::Ready(Some(Err(self.fail(error))));
            }
        }
        let Some(lease) = &mut self.lease else {
            return Poll::Ready(None);
        };
        match lease.incoming.poll_piece(takes, cx) {
            Poll::Ready(Ok(Some(Piece::Data(data)))) => {
                let timer = lease.incoming.timer();
                if let Some(credit) = &mut self.credit {
                    credit.earn(data.len(), timer.waited());
                }
                timer.progress();
                self.finish_at_end();
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(Ok(Some(Piece::Trailers(mut trailers)))) => {
                hop_by_hop::strip_trailers(&mut trailers);
                self.finish();
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Poll::Ready(Ok(None)) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Err(error)) => {
                // The connection also ends where the client failed within its request.
                let error = self.upload_error().unwrap_or(error);
                Poll::Ready(Some(Err(self.fail(error))))
            }
            Poll::Pending => {
                let limit = self.credit.map_or(self.limit, |c| c.patience(self.limit));
                let timer = lease.incoming.timer();
                ready!(timer.poll_expired_by(limit, self.deadline, cx));
                if self.is_late() {
                    return Poll::Ready(Some(Err(self.time_out())));
                }
                if let Some(lease) = &self.lease {
                    lease.incoming.doubt();
                }
                let error = ForwardError::new(Failure::BodyTimeout);
                Poll::Ready(Some(Err(self.fail(error))))
            }
        }
    }

    /// Some servers do not poll past the last frame of a body whose length they know.
    fn finish_at_end(&mut self) {
        if self
            .lease
            .as_ref()
            .is_some_and(|lease| lease.incoming.is_end())
        {
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
            incoming,
            uploading,
        } = lease;
        pick.set_outcome(outcome);
        incoming.finish();
        if let Some(uploading) = uploading {
            uploading.detach();
        }
        if let Some(upload) = &self.upload {
            upload.hold(pick);
        }
    }

    fn fail(&mut self, error: ForwardError) -> ForwardError {
        // Closes the connection to the endpoint.
        if let Some(mut lease) = self.lease.take() {
            lease
                .pick
                .set_outcome(classify::of_failure(error.failure()));
        }
        error
    }

    /// It took too long, which is not the endpoint's fault: it kept nobody waiting.
    fn time_out(&mut self) -> ForwardError {
        self.lease = None;
        ForwardError::new(Failure::BodyTimeout)
    }

    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn upload_error(&self) -> Option<ForwardError> {
        self.upload.as_ref().and_then(|upload| upload.take_error())
    }
}

// === impl Incoming ===

impl Incoming {
    fn poll_piece(
        &mut self,
        takes: Takes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, ForwardError>> {
        match self {
            Self::Http1 {
                connection,
                position,
                ..
            } => connection
                .poll_piece(position, takes, cx)
                .map_err(Into::into),
            Self::Http2(reader) => reader.poll_piece(cx).map_err(|error| {
                let failure = match h2::failure(&error) {
                    // The response had begun.
                    Failure::Refused => Failure::Reset,
                    failure => failure,
                };
                ForwardError::new(failure).with_source(error)
            }),
        }
    }

    /// Measures how long the endpoint keeps us waiting.
    pub(super) fn timer(&mut self) -> &mut IdleTimer {
        match self {
            Self::Http1 { connection, .. } => &mut connection.timer,
            Self::Http2(reader) => &mut reader.timer,
        }
    }

    /// Nothing came for too long: other requests must not wait for an endpoint that is gone.
    fn doubt(&self) {
        if let Self::Http2(reader) = self {
            reader.stream().connection.doubt();
        }
    }

    /// Whether nothing more comes, as far as that is known.
    fn is_end(&self) -> bool {
        match self {
            Self::Http1 { position, .. } => position.is_end(),
            Self::Http2(reader) => reader.is_end(),
        }
    }

    /// How much comes, if that is known.
    fn left(&self) -> Option<u64> {
        match self {
            Self::Http1 { position, .. } => position.left(),
            Self::Http2(reader) => reader.left(),
        }
    }

    /// The response ended: the connection is for another.
    fn finish(self) {
        if let Self::Http1 {
            connection,
            open,
            is_reusable: true,
            ..
        } = self
        {
            open.put_back(connection);
        }
    }
}

// === impl Uploading ===

impl Uploading {
    pub(super) fn spawn(writes: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            task: Some(tokio::spawn(writes)),
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.task {
            Some(task) => Pin::new(task).poll(cx).map(drop),
            None => Poll::Ready(()),
        }
    }

    /// Goes on although the response has ended. The client ends it, or its time.
    fn detach(mut self) {
        self.task = None;
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
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
