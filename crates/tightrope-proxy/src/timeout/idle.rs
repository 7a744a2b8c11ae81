//! How long nothing comes from where something is awaited.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Measures each wait on its own.
///
/// Time in which nobody asks does not count, so a slow reader never makes the writer look stalled.
/// The timer is armed by the first wait and moved only when it fires: neither a frame nor, where it
/// stays with a connection, a request costs the timers of the runtime anything.
#[derive(Debug, Default)]
pub(crate) struct IdleTimer {
    /// Since when something is waited for.
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    /// Something came.
    pub(crate) const fn progress(&mut self) {
        self.since = None;
    }

    /// For how long nothing came.
    pub(crate) fn waited(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Something came `ago`.
    pub(crate) fn progressed(&mut self, ago: Duration) {
        self.since = Instant::now().checked_sub(ago);
    }

    /// Nothing came: ready when that has been so for `limit`.
    pub(crate) fn poll_expired(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_expired_by(limit, None, cx)
    }

    /// The same, and ready at `latest` whatever came.
    pub(crate) fn poll_expired_by(
        &mut self,
        limit: Duration,
        latest: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let ends = [since.checked_add(limit), latest];
        let Some(deadline) = ends.into_iter().flatten().min() else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // Of another, longer limit.
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
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

    const LIMIT: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_after_the_limit() {
        let start = Instant::now();
        let mut timer = IdleTimer::default();
        poll_fn(|cx| timer.poll_expired(LIMIT, cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_starts_the_wait_anew() {
        let mut timer = IdleTimer::default();
        let first = poll_fn(|cx| Poll::Ready(timer.poll_expired(LIMIT, cx))).await;
        assert!(first.is_pending());
        tokio::time::advance(Duration::from_secs(2)).await;
        timer.progress();
        // Nobody waits for a while, which does not count.
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        poll_fn(|cx| timer.poll_expired(LIMIT, cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_duration_is_never_over() {
        let mut timer = IdleTimer::default();
        let first = poll_fn(|cx| Poll::Ready(timer.poll_expired(Duration::MAX, cx))).await;
        assert!(first.is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_limit_than_before_counts() {
        let mut timer = IdleTimer::default();
        let long = poll_fn(|cx| Poll::Ready(timer.poll_expired(10 * LIMIT, cx))).await;
        assert!(long.is_pending());
        timer.progress();
        let start = Instant::now();
        poll_fn(|cx| timer.poll_expired(LIMIT, cx)).await;
        assert_eq!(start.elapsed(), LIMIT);
    }
}
