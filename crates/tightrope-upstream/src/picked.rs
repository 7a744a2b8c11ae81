//! A chosen endpoint, and a request bound to it.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use crate::{Endpoint, Observer, Outcome, Sample, Tick};

/// A chosen endpoint with a place in flight on it.
///
/// The place is given back when the pick is dropped, wherever and why ever that happens, and
/// exactly once. Keep it until the attempt is truly over: the end of the response body, of the
/// tunnel, of the stream. A pick that is dropped without [`set_outcome`](Self::set_outcome) counts
/// as [`Outcome::Cancelled`], unless its [answer](Self::answered) was a failure.
#[must_use = "dropping a pick gives its place back"]
pub struct Pick {
    endpoint: Arc<Endpoint>,
    outcome: Outcome,
    /// What the answer said, once there was one.
    answer: Option<Outcome>,
    /// Who is yet to be told of the answer, and since when it is awaited.
    observer: Option<(Arc<dyn Observer>, Tick)>,
}

/// A request bound to the endpoint that was picked for it.
///
/// What [`Balance`](https://docs.rs/tightrope-balance) hands to the service inside it. That service
/// owns the pick from then on.
#[derive(Debug)]
pub struct Picked<R> {
    request: R,
    pick: Pick,
}

// === impl Pick ===

impl Pick {
    pub(crate) const fn new(endpoint: Arc<Endpoint>) -> Self {
        Self {
            endpoint,
            outcome: Outcome::Cancelled,
            answer: None,
            observer: None,
        }
    }

    /// Tells `observer` how the attempt goes, with latencies from `since` on. Only the last
    /// observer is told.
    pub fn observed_by(mut self, observer: Arc<dyn Observer>, since: Tick) -> Self {
        self.observer = Some((observer, since));
        self
    }

    /// The endpoint.
    #[must_use]
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Says that the answer has begun, and what its head tells of the outcome. What is learned of
    /// the endpoint is learned here rather than at the end of a long body; only the first answer
    /// counts. Without it an attempt is answered when the pick is dropped.
    pub fn answered(&mut self, outcome: Outcome) {
        if self.answer.is_none() {
            self.answer = Some(outcome);
            self.learn(outcome);
        }
    }

    /// Says how the attempt ended, as far as is known by now; the last word counts when the pick
    /// is dropped.
    pub const fn set_outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    #[inline]
    fn learn(&mut self, outcome: Outcome) {
        self.endpoint.record().learn(outcome);
        if let Some((observer, since)) = self.observer.take() {
            self.tell(&*observer, since, outcome);
        }
    }

    #[inline(never)]
    fn tell(&self, observer: &dyn Observer, since: Tick, outcome: Outcome) {
        let at = self.endpoint.record().tick(Instant::now());
        let sample = Sample {
            outcome,
            latency: at.since(since),
            at,
        };
        observer.observe(&self.endpoint, &sample);
    }
}

impl Drop for Pick {
    #[inline]
    fn drop(&mut self) {
        // An answer that came and was not read to its end tells no more than it did, and no less: a
        // failure stays one where a retry makes up for it.
        let (outcome, is_news) = match (self.outcome, self.answer) {
            (outcome, None) => (outcome, true),
            (Outcome::Cancelled, Some(answer @ Outcome::Failure(_))) => (answer, false),
            (outcome, Some(answer)) => {
                let is_news = outcome != answer && outcome != Outcome::Cancelled;
                (outcome, is_news)
            }
        };
        if is_news {
            self.learn(outcome);
        }
        self.endpoint.release(outcome);
    }
}

impl fmt::Debug for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pick")
            .field("endpoint", self.endpoint.id())
            .field("outcome", &self.outcome)
            .finish()
    }
}

// === impl Picked ===

impl<R> Picked<R> {
    /// Binds `request` to `pick`.
    pub const fn new(request: R, pick: Pick) -> Self {
        Self { request, pick }
    }

    /// The endpoint that was picked.
    #[must_use]
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        self.pick.endpoint()
    }

    /// The request.
    #[must_use]
    pub const fn request(&self) -> &R {
        &self.request
    }

    /// The request.
    #[must_use]
    pub const fn request_mut(&mut self) -> &mut R {
        &mut self.request
    }

    /// The request and the pick.
    pub fn into_parts(self) -> (R, Pick) {
        (self.request, self.pick)
    }

    /// The same pick for what `f` makes of the request.
    #[must_use]
    pub fn map<T>(self, f: impl FnOnce(R) -> T) -> Picked<T> {
        Picked::new(f(self.request), self.pick)
    }
}
