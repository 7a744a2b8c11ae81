//! How a connection ends.

use std::io;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is lost when its socket is closed at once, if that was not given to an upgrade.
    Closed,
    /// The client may be sending something still, at which a socket that is closed would be reset and the response be
    /// lost: [`LingeringStream`](crate::LingeringStream) helps.
    Open,
}

/// Why a connection ended within a response, or before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The response was not written.
    #[error("the response was not written")]
    Io(#[from] io::Error),
    /// The service gave no response.
    #[error("the service gave no response")]
    Service(#[source] BoxError),
    /// The body of the response failed.
    #[error("the response body failed")]
    Body(#[source] BoxError),
    /// The body of the response is not as long as its head says.
    #[error("the response body is not as long as its Content-Length")]
    Length,
    /// The client does not keep to HTTP/2, or says that we do not.
    #[error("no HTTP/2 can be spoken")]
    Http2(#[source] BoxError),
    /// The client of HTTP/2 gave up too many requests.
    #[error("the client gave up too many requests")]
    Flood,
    /// The client of HTTP/2 did not answer a ping.
    #[error("the client did not answer a ping")]
    Unanswered,
}

/// What services and bodies fail with.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
