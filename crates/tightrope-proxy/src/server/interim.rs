//! Responses before the response.

use std::{fmt, sync::Arc};

use http::{HeaderMap, StatusCode};

use super::{http1::Line, http2::Reply};

/// Sends interim responses (RFC 9110 §15.2) to the client of a request, in whose extensions it is.
///
/// [`Forward`](crate::Forward) passes on those of an endpoint by it. `100 Continue` is sent by the server itself, when the
/// body is first read. A client of HTTP/1.0 knows none.
#[derive(Clone)]
pub struct Interim {
    way: Way,
}

#[derive(Clone)]
enum Way {
    Http1 { line: Arc<dyn Line>, request: u64 },
    Http2(Arc<Reply>),
}

/// How much of them may wait to be sent: they are not worth more.
pub(super) const MAX_WAITING: usize = 16 * 1024;

impl Interim {
    pub(super) const fn http1(line: Arc<dyn Line>, request: u64) -> Self {
        Self {
            way: Way::Http1 { line, request },
        }
    }

    pub(super) const fn http2(reply: Arc<Reply>) -> Self {
        Self {
            way: Way::Http2(reply),
        }
    }

    /// Sends one. Nothing is sent once the response has begun, where `status` is no 1xx or 101, and to a client that takes
    /// nothing.
    pub fn send(&self, status: StatusCode, fields: &HeaderMap) {
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        match &self.way {
            Way::Http1 { line, request } => line.send_interim(*request, status, fields),
            Way::Http2(reply) => reply.send_interim(status, fields),
        }
    }
}

impl fmt::Debug for Interim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interim").finish_non_exhaustive()
    }
}
