//! What can go wrong with forwarding.

use std::{
    any::Any,
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::Request;
use tightrope_upstream::{Endpoint, Failed, Failure, TakeUnsent, Unsent};

use crate::pool::ConnectError;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request was not answered, or its response body not completed.
///
/// [`Failed::failure`] says what kind of failure it is, whose fault, and whether anything was
/// sent; the cause is in [`source`](Error::source). Where no byte of the request was sent,
/// [`TakeUnsent`] gives it back as it was.
pub struct ForwardError {
    inner: Box<Inner>,
}

struct Inner {
    failure: Failure,
    source: Option<BoxError>,
    /// A mutex for `Sync` alone: nobody ever waits for it.
    unsent: Mutex<Option<Held>>,
}

struct Held {
    /// The `Request<B>` of whatever body it has.
    request: Box<dyn Any + Send>,
    endpoint: Arc<Endpoint>,
}

// === impl ForwardError ===

impl ForwardError {
    pub(crate) fn new(failure: Failure) -> Self {
        Self {
            inner: Box::new(Inner {
                failure,
                source: None,
                unsent: Mutex::new(None),
            }),
        }
    }

    /// That of a connection which several requests waited for.
    pub(crate) fn told(error: Arc<ConnectError>) -> Self {
        let this = Self::new(error.failure);
        match error.source {
            Some(_) => this.with_source(error),
            None => this,
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    pub(crate) fn with_unsent<B: Send + 'static>(
        mut self,
        request: Request<B>,
        endpoint: Arc<Endpoint>,
    ) -> Self {
        self.inner.unsent = Mutex::new(Some(Held {
            request: Box::new(request),
            endpoint,
        }));
        self
    }

    /// Whether it is a timeout: of the connection, the head, or either body.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.inner.failure,
            Failure::ConnectTimeout
                | Failure::HeadTimeout
                | Failure::BodyTimeout
                | Failure::DownstreamTimeout
        )
    }
}

impl From<ConnectError> for ForwardError {
    fn from(error: ConnectError) -> Self {
        let mut this = Self::new(error.failure);
        this.inner.source = error.source;
        this
    }
}

impl Failed for ForwardError {
    fn failure(&self) -> Failure {
        self.inner.failure
    }
}

impl<B: 'static> TakeUnsent<Request<B>> for ForwardError {
    fn take_unsent(&mut self) -> Option<Unsent<Request<B>>> {
        let slot = self
            .inner
            .unsent
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let Held { request, endpoint } = slot.take()?;
        match request.downcast::<Request<B>>() {
            Ok(request) => Some(Unsent::new(*request, endpoint)),
            Err(request) => {
                *slot = Some(Held { request, endpoint });
                None
            }
        }
    }
}

impl fmt::Debug for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardError")
            .field("failure", &self.inner.failure)
            .field("source", &self.inner.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.failure.fmt(f)
    }
}

impl Error for ForwardError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}
