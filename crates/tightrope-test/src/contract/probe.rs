//! An inner service that watches how it is used.

use std::{
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use http::Response;
use http_body_util::Empty;
use tightrope_upstream::{Failed, Failure, TakeUnsent, Unsent};
use tower_service::Service;

/// An inner service for any request, which answers as it is told to and panics when it is called
/// without having said that it is ready.
///
/// Each call keeps its request until its future is gone, as a service does that owns the pick.
#[derive(Debug)]
pub struct Probe {
    shared: Arc<Mutex<Shared>>,
    /// Whether this very clone may be called.
    ready: bool,
}

/// The error of a [`Probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the probe failed as told, number {number}")]
#[non_exhaustive]
pub struct ProbeError {
    /// What it was told to fail with.
    pub number: u64,
}

/// The future of a [`Probe`].
pub struct ProbeFuture<R> {
    shared: Arc<Mutex<Shared>>,
    /// When it was called: told since when an answer holds.
    call: usize,
    _request: R,
}

#[derive(Debug)]
struct Shared {
    admits: bool,
    answer: Answer,
    /// Calls before this one are not answered.
    since: usize,
    calls: usize,
    wakers: Vec<Waker>,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Held,
    Success,
    Failure(u64),
}

// === impl Probe ===

impl Probe {
    /// One that is ready and succeeds.
    pub(super) fn new() -> Self {
        let shared = Shared {
            admits: true,
            answer: Answer::Success,
            since: 0,
            calls: 0,
            wakers: Vec::new(),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            ready: false,
        }
    }

    /// How often it was called, over all clones.
    #[must_use]
    pub fn calls(&self) -> usize {
        lock(&self.shared).calls
    }

    /// Is ready from now on.
    pub(super) fn admit(&self) {
        self.tell(|shared| shared.admits = true);
    }

    /// Is not ready from now on.
    pub(super) fn refuse(&self) {
        self.tell(|shared| shared.admits = false);
    }

    /// Answers nobody from now on.
    pub(super) fn hold(&self) {
        self.tell(|shared| shared.answer = Answer::Held);
    }

    /// Answers whoever called and whoever calls.
    pub(super) fn succeed(&self) {
        self.tell(|shared| (shared.answer, shared.since) = (Answer::Success, 0));
    }

    /// Answers whoever calls from now on.
    pub(super) fn succeed_from_now(&self) {
        self.tell(|shared| (shared.answer, shared.since) = (Answer::Success, shared.calls));
    }

    /// Fails whoever called and whoever calls.
    pub(super) fn fail(&self, number: u64) {
        self.tell(|shared| (shared.answer, shared.since) = (Answer::Failure(number), 0));
    }

    fn tell(&self, f: impl FnOnce(&mut Shared)) {
        let mut shared = lock(&self.shared);
        f(&mut shared);
        let wakers = mem::take(&mut shared.wakers);
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            ready: false,
        }
    }
}

impl<R> Service<R> for Probe {
    type Response = Response<Empty<bytes::Bytes>>;
    type Error = ProbeError;
    type Future = ProbeFuture<R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProbeError>> {
        let mut shared = lock(&self.shared);
        self.ready = shared.admits;
        if self.ready {
            Poll::Ready(Ok(()))
        } else {
            shared.wakers.push(cx.waker().clone());
            Poll::Pending
        }
    }

    fn call(&mut self, request: R) -> ProbeFuture<R> {
        let ready = mem::take(&mut self.ready);
        assert!(ready, "called without having said that it is ready");
        let mut shared = lock(&self.shared);
        let call = shared.calls;
        shared.calls += 1;
        drop(shared);
        ProbeFuture {
            shared: Arc::clone(&self.shared),
            call,
            _request: request,
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl ProbeFuture ===

impl<R> Future for ProbeFuture<R> {
    type Output = Result<Response<Empty<bytes::Bytes>>, ProbeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut shared = lock(&self.shared);
        match shared.answer {
            Answer::Success if self.call >= shared.since => Poll::Ready(Ok(Response::default())),
            Answer::Failure(number) if self.call >= shared.since => {
                Poll::Ready(Err(ProbeError { number }))
            }
            Answer::Held | Answer::Success | Answer::Failure(_) => {
                shared.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<R> fmt::Debug for ProbeFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeFuture")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

// === impl ProbeError ===

impl Failed for ProbeError {
    fn failure(&self) -> Failure {
        Failure::Reset
    }
}

impl<R> TakeUnsent<R> for ProbeError {
    fn take_unsent(&mut self) -> Option<Unsent<R>> {
        None
    }
}
