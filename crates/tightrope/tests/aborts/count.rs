//! Counts what the stack does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::Request;
use tightrope::{
    health::{Listen, Listening},
    retry::attempt,
    upstream::{Endpoint, Outcome, Picked},
};
use tower::Service;

/// Counts the attempts that are observed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watchers(Arc<AtomicUsize>);

pub(crate) struct Watcher(Watchers);

/// Counts the attempts that come to the service inside, and those that are not the first.
#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    inner: S,
    all: Arc<AtomicU64>,
    further: Arc<AtomicU64>,
}

// === impl Watchers ===

impl Watchers {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Listen for Watchers {
    type Listening = Watcher;

    fn begin(&self, _: &Arc<Endpoint>) -> Watcher {
        self.0.fetch_add(1, Ordering::Relaxed);
        Watcher(self.clone())
    }
}

impl Listening for Watcher {
    fn end(self, _: Outcome) {}
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Counted ===

impl<S> Counted<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            all: Arc::default(),
            further: Arc::default(),
        }
    }

    pub(crate) fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    pub(crate) fn further(&self) -> u64 {
        self.further.load(Ordering::Relaxed)
    }
}

impl<S: Service<Picked<Request<B>>>, B> Service<Picked<Request<B>>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, picked: Picked<Request<B>>) -> S::Future {
        self.all.fetch_add(1, Ordering::Relaxed);
        if attempt(picked.request()).number() > 1 {
            self.further.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.call(picked)
    }
}
