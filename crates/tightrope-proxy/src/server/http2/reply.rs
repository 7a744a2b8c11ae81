//! The way back to the client of a request, before its response.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, Response, StatusCode};

use crate::{hop_by_hop, server::interim::MAX_WAITING};

/// Shared by the stream, which answers, and whoever has something to say before that.
pub(in crate::server) struct Reply {
    /// None once the response has begun, or nobody waits for it any more.
    waiting: Mutex<Option<Waiting>>,
}

struct Waiting {
    respond: SendResponse<Bytes>,
    /// How much interim responses may still say.
    room: usize,
}

/// Holds a reply open. Dropping it ends what could be said.
pub(super) struct Held(Arc<Reply>);

// === impl Reply ===

impl Reply {
    fn lock(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an interim response, if the response has not begun.
    pub(in crate::server) fn send_interim(&self, status: StatusCode, fields: &HeaderMap) {
        let mut waiting = self.lock();
        let Some(waiting) = &mut *waiting else {
            return;
        };
        let size = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len() + OVERHEAD
        };
        let size = OVERHEAD + fields.iter().map(size).sum::<usize>();
        let Some(room) = waiting.room.checked_sub(size) else {
            return;
        };
        waiting.room = room;
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = fields.clone();
        hop_by_hop::strip_connection(response.headers_mut());
        // A stream that was reset takes none.
        let _refused = waiting.respond.send_informational(response);
    }
}

/// What a field adds to the size of a list (RFC 9113 §6.5.2).
const OVERHEAD: usize = 32;

// === impl Held ===

impl Held {
    pub(super) fn new(respond: SendResponse<Bytes>) -> Self {
        let waiting = Waiting {
            respond,
            room: MAX_WAITING,
        };
        Self(Arc::new(Reply {
            waiting: Mutex::new(Some(waiting)),
        }))
    }

    /// For those who speak before the response.
    pub(super) const fn reply(&self) -> &Arc<Reply> {
        &self.0
    }

    /// Ready when the client wants no response any more.
    pub(super) fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.0.lock() {
            Some(waiting) => waiting.respond.poll_reset(cx).map(|_reason| ()),
            None => Poll::Ready(()),
        }
    }

    /// The response begins.
    pub(super) fn take(&self) -> Option<SendResponse<Bytes>> {
        self.0.lock().take().map(|waiting| waiting.respond)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _gone = self.take();
    }
}
