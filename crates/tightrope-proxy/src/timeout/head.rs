//! How long an endpoint may take to answer.

use std::{
    task::{Context, Poll, ready},
    time::Duration,
};

use crate::{forward::Upload, timeout::IdleTimer};

/// No answer came yet: ready when the endpoint has kept us waiting for `limit`, by `timer`.
///
/// While the request body is still being sent, only the time counts in which the endpoint takes
/// nothing of it: a long upload is not a slow answer. Poll for the answer first, so that one in hand
/// is not thrown away at the deadline.
pub(crate) fn poll_head_expired(
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
