//! What errors of HTTP/2 mean.

use h2::{Error, Reason};
use tightrope_upstream::Failure;

/// Whether the endpoint said of a request that it did nothing of it (RFC 9113 §8.7).
pub(crate) fn is_unprocessed(error: &Error) -> bool {
    // A stream sees the GOAWAY only where its number is above the last that is processed.
    let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || is_refused)
}

/// What went wrong with the request.
pub(crate) fn failure(error: &Error) -> Failure {
    if is_unprocessed(error) {
        Failure::Refused
    } else if error.is_io() || error.is_remote() {
        Failure::Reset
    } else if error.is_library() {
        Failure::Protocol
    } else {
        Failure::Local
    }
}
