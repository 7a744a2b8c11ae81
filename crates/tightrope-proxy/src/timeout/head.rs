//! How long an endpoint may take to answer.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use tightrope_upstream::{Failure, Patience};

use crate::{forward::Upload, timeout::IdleTimer};

/// How long the head of a response is waited for.
#[derive(Clone, Copy)]
pub(crate) struct Waits<'a> {
    /// How long the endpoint may keep us waiting.
    pub(crate) head: Duration,
    /// Whether the attempt is waited for at all.
    pub(crate) patience: Option<&'a Patience>,
}

impl Waits<'_> {
    /// No answer came yet: ready when it is waited for no more, with the reason.
    pub(crate) fn poll_over(
        self,
        upload: Option<&Upload>,
        timer: &mut IdleTimer,
        cx: &mut Context<'_>,
    ) -> Poll<Failure> {
        if self.patience.is_some_and(Patience::is_over) {
            // Who was waited for last.
            return Poll::Ready(match upload {
                Some(upload) if upload.awaits_client() => Failure::DownstreamTimeout,
                _ => Failure::HeadTimeout,
            });
        }
        poll_head_expired(self.head, upload, timer, cx).map(|()| Failure::HeadTimeout)
    }
}

/// No answer came yet: ready when the endpoint has kept us waiting for `limit`, by `timer`.
///
/// While the request body is still being sent, only the time counts in which the endpoint takes
/// nothing of it: a long upload is not a slow answer. Poll for the answer first, so that one in hand
/// is not thrown away at the deadline.
fn poll_head_expired(
    limit: Duration,
    upload: Option<&Upload>,
    timer: &mut IdleTimer,
    cx: &mut Context<'_>,
) -> Poll<()> {
    loop {
        ready!(timer.poll_expired(limit, cx));
        let patience = upload.map_or(Duration::ZERO, |upload| upload.patience(limit));
        if patience.is_zero() {
            return Poll::Ready(());
        }
        timer.progressed(limit - patience);
    }
}
