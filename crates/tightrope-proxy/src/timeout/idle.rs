//! How long nothing comes from where the next frame is awaited.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Measures each wait for the next frame on its own.
///
/// Time in which nobody asks for a frame does not count, so a slow reader never makes the writer
/// look stalled. The timer is armed by the first wait and moved only when it fires, not by each
/// frame.
#[derive(Debug)]
pub(crate) struct IdleTimer {
    limit: Duration,
    /// Since when the next frame is waited for.
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            sleep: None,
        }
    }

    /// Something came.
    pub(crate) const fn progress(&mut self) {
        self.since = None;
    }

    /// Nothing came: ready when that has been so for too long.
    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(deadline) = since.checked_add(self.limit) else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_after_the_limit() {
        let start = Instant::now();
        let mut timer = IdleTimer::new(Duration::from_secs(3));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_starts_the_wait_anew() {
        let mut timer = IdleTimer::new(Duration::from_secs(3));
        let first = poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await;
        assert!(first.is_pending());
        tokio::time::advance(Duration::from_secs(2)).await;
        timer.progress();
        // Nobody waits for a while, which does not count.
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_duration_is_never_over() {
        let mut timer = IdleTimer::new(Duration::MAX);
        let first = poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await;
        assert!(first.is_pending());
    }
}
