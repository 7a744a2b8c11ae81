//! How an attempt ended.

use std::fmt;

/// How an attempt ended, as fed back into the state of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The endpoint did its part.
    Success,
    /// It did not, or could not.
    Failure(Failure),
    /// Nobody can tell: the attempt was dropped before it ended. Counts for nobody and against
    /// nobody.
    Cancelled,
}

/// What went wrong with an attempt: one small vocabulary for every crate, so that retry, health
/// and the mapping to a status code agree on what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// No endpoint could be chosen.
    Unavailable,
    /// No connection to the endpoint could be made.
    Connect,
    /// No connection to the endpoint was made in time.
    ConnectTimeout,
    /// A connection that had carried a request before ended before a response began: the endpoint
    /// closed it while it was idle, which crossed the request (RFC 9112 §9.3.1). Nobody's fault, and
    /// no sign of anything.
    Stale,
    /// The endpoint said that it did nothing of the request, since it is about to close the connection or has no
    /// room for it (RFC 9113 §8.7). Nobody's fault.
    Refused,
    /// The connection ended before the response was complete.
    Reset,
    /// The endpoint sent something that is not a valid response.
    Protocol,
    /// No response head came in time.
    HeadTimeout,
    /// The response body stalled for too long.
    BodyTimeout,
    /// A complete response that itself says that the endpoint failed, such as a 500.
    Response,
    /// A complete response which says that somebody behind the endpoint failed, or that it has no
    /// room: 502, 503 and 504.
    Gateway,
    /// The client went away or sent something invalid.
    Downstream,
    /// The client stalled for too long within its request.
    DownstreamTimeout,
    /// Something on our side failed.
    Local,
}

/// Whose fault a [`Failure`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The client's.
    Downstream,
    /// The endpoint's, or the network's on the way to it.
    Upstream,
    /// Ours.
    Local,
}

/// An error that says what kind of [`Failure`] it is.
///
/// Implemented by the errors of every tightrope crate; wrapping errors pass on what they wrap.
pub trait Failed {
    /// What went wrong.
    fn failure(&self) -> Failure;
}

/// Tells the outcome of an attempt from its result.
///
/// The default for HTTP is in `tightrope-proxy`; replace it where, say, a 404 of your service
/// means that the endpoint is broken.
///
/// ```
/// use tightrope_upstream::{Classify, Failure, Outcome};
///
/// #[derive(Clone)]
/// struct EmptyIsBroken;
///
/// impl<E> Classify<String, E> for EmptyIsBroken {
///     fn classify(&self, result: Result<&String, &E>) -> Outcome {
///         match result {
///             Ok(answer) if answer.is_empty() => Outcome::Failure(Failure::Response),
///             Ok(_) => Outcome::Success,
///             Err(_) => Outcome::Failure(Failure::Reset),
///         }
///     }
/// }
/// ```
pub trait Classify<T, E> {
    /// The outcome that `result` stands for.
    fn classify(&self, result: Result<&T, &E>) -> Outcome;
}

// === impl Failure ===

impl Failure {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(self) -> Fault {
        match self {
            Self::Connect
            | Self::ConnectTimeout
            | Self::Reset
            | Self::Protocol
            | Self::HeadTimeout
            | Self::BodyTimeout
            | Self::Response
            | Self::Gateway => Fault::Upstream,
            Self::Downstream | Self::DownstreamTimeout => Fault::Downstream,
            // Counts for nobody, as what we did ourselves.
            Self::Unavailable | Self::Refused | Self::Stale | Self::Local => Fault::Local,
        }
    }

    /// Whether it is certain that no endpoint did anything of the request, mostly since no byte of it reached one,
    /// so that sending it elsewhere cannot carry it out twice.
    #[must_use]
    pub const fn never_sent(self) -> bool {
        matches!(
            self,
            Self::Unavailable | Self::Connect | Self::ConnectTimeout | Self::Refused
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "no endpoint available",
            Self::Connect => "connect failed",
            Self::ConnectTimeout => "connect timed out",
            Self::Refused => "endpoint refused the request",
            Self::Stale => "reused connection was closed",
            Self::Reset => "connection ended early",
            Self::Protocol => "invalid response",
            Self::HeadTimeout => "no response head in time",
            Self::BodyTimeout => "response body stalled",
            Self::Response => "failure response",
            Self::Gateway => "gateway failure response",
            Self::Downstream => "client failed",
            Self::DownstreamTimeout => "client stalled",
            Self::Local => "local failure",
        })
    }
}
