//! The requests of a connection: whether there are any, and whether they are meant.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::{sync::Notify, time::sleep};

/// All requests of a connection. Its clones are about the same.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    shared: Arc<Shared>,
}

// Relaxed throughout: each is a count of its own, and nothing else is read by it.
#[derive(Debug)]
struct Shared {
    begun: AtomicUsize,
    open: AtomicUsize,
    /// Those that the client gave up before they were answered.
    reset: AtomicUsize,
    max_resets: usize,
    flooded: Notify,
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct OpenStream {
    shared: Arc<Shared>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Answered,
    /// It goes on as something else, for as long as the connection for all we know.
    Tunnel,
}

pin_project! {
    /// A response body, until whose end the request is under way.
    pub(crate) struct HeldBody<B> {
        #[pin]
        body: B,
        _open: OpenStream,
    }
}

// === impl Streams ===

impl Streams {
    /// None yet. After `max_resets` requests that the client gave up, it must not give up more than
    /// half of all.
    pub(crate) fn new(max_resets: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                begun: AtomicUsize::new(0),
                open: AtomicUsize::new(0),
                reset: AtomicUsize::new(0),
                max_resets,
                flooded: Notify::new(),
            }),
        }
    }

    /// Another one.
    pub(crate) fn begin(&self) -> OpenStream {
        self.shared.begun.fetch_add(1, Ordering::Relaxed);
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        OpenStream {
            shared: Arc::clone(&self.shared),
            state: State::Asked,
        }
    }

    /// Resolves when there was none for `first`, or since then for one to two times `limit`.
    pub(crate) async fn idle(&self, first: Duration, limit: Duration) {
        let mut seen = 0;
        let mut wait = first;
        loop {
            sleep(wait).await;
            let begun = self.begun();
            if begun == seen && !self.are_open() {
                return;
            }
            (seen, wait) = (begun, limit);
        }
    }

    /// How many there were.
    pub(crate) fn begun(&self) -> usize {
        self.shared.begun.load(Ordering::Relaxed)
    }

    /// Whether any is under way.
    pub(crate) fn are_open(&self) -> bool {
        self.shared.open.load(Ordering::Relaxed) > 0
    }

    /// Resolves when the client gave up too many.
    pub(crate) async fn flooded(&self) {
        self.shared.flooded.notified().await;
    }
}

// === impl OpenStream ===

impl OpenStream {
    /// The head of a response is on its way.
    pub(crate) fn answered(mut self) -> Self {
        self.state = State::Answered;
        self
    }

    /// It is a tunnel from now on.
    pub(crate) fn into_tunnel(mut self) -> Self {
        self.state = State::Tunnel;
        self
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let shared = &self.shared;
        match self.state {
            State::Tunnel => return,
            State::Answered => {}
            State::Asked => {
                let reset = shared.reset.fetch_add(1, Ordering::Relaxed) + 1;
                let begun = shared.begun.load(Ordering::Relaxed);
                if reset > shared.max_resets && reset > begun / 2 {
                    shared.flooded.notify_one();
                }
            }
        }
        shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl HeldBody ===

impl<B> HeldBody<B> {
    pub(crate) const fn new(body: B, open: OpenStream) -> Self {
        Self { body, _open: open }
    }
}

impl<B: Body> Body for HeldBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use tokio::time::{Instant, timeout};

    use super::*;

    const FIRST: Duration = Duration::from_secs(5);
    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_no_request_came_or_is_under_way() {
        let start = Instant::now();
        Streams::new(1).idle(FIRST, LIMIT).await;
        assert_eq!(start.elapsed(), FIRST);

        let streams = Streams::new(1);
        let open = streams.begin().answered();
        let mut idle = pin!(streams.idle(FIRST, LIMIT));
        assert!(timeout(LIMIT * 9, idle.as_mut()).await.is_err());
        drop(open);
        let start = Instant::now();
        idle.await;
        assert!(start.elapsed() <= LIMIT);

        let streams = Streams::new(1);
        drop(streams.begin().into_tunnel());
        assert!(
            timeout(LIMIT * 9, streams.idle(FIRST, LIMIT))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_client_that_gives_up_most_of_many_requests_floods() {
        let streams = Streams::new(10);
        let mut flooded = pin!(streams.flooded());
        let mut is_flooded =
            async || poll_fn(|cx| Poll::Ready(flooded.as_mut().poll(cx).is_ready())).await;
        for _ in 0..10 {
            drop(streams.begin().answered());
        }
        for _ in 0..10 {
            drop(streams.begin());
        }
        assert!(!is_flooded().await);
        drop(streams.begin());
        assert!(is_flooded().await);
    }
}
