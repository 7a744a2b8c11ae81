//! The time of one request.

use std::time::Duration;

use http::HeaderMap;
use tightrope_upstream::Patience;
use tokio::time::Instant;

use crate::Deadlines;

/// How long requests and attempts may take.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits {
    /// All attempts, and the response.
    pub(super) request: Option<Duration>,
    /// One, until the head of its response.
    pub(super) attempt: Option<Duration>,
    /// What requests may say.
    pub(super) deadlines: Deadlines,
}

/// The time of a request.
pub(super) struct Clock {
    deadline: Option<Instant>,
    /// Of the time of the request, where that was not the client's to say: an attempt that had more
    /// than that is to blame.
    half: Option<Duration>,
    attempt: Option<Duration>,
}

/// The time of an attempt.
pub(super) struct Timed {
    patience: Patience,
    /// When it began, or its endpoint was chosen.
    pub(super) since: Instant,
}

/// Timers are no finer; less is nothing.
const LEAST: Duration = Duration::from_millis(1);

// === impl Limits ===

impl Limits {
    /// For a request of these headers, which came just now; none: it has all the time.
    pub(super) fn clock(&self, headers: &HeaderMap, now: Instant) -> Option<Clock> {
        let client = self.deadlines.read(headers);
        let limit = [self.request, client].into_iter().flatten().min();
        let is_own = client.is_none_or(|client| self.request.is_some_and(|own| own <= client));
        // What is too far away for a clock never comes.
        let deadline = limit.and_then(|limit| now.checked_add(limit));
        (deadline.is_some() || self.attempt.is_some()).then(|| Clock {
            deadline,
            half: limit.filter(|_| is_own).map(|limit| limit / 2),
            attempt: self.attempt,
        })
    }

    pub(super) const fn is_none(&self) -> bool {
        self.request.is_none() && self.attempt.is_none() && self.deadlines.is_none()
    }
}

// === impl Clock ===

impl Clock {
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The time of an attempt that begins `now`, and what is left for it where that is limited; none
    /// if nothing is.
    pub(super) fn begin(&self, now: Instant) -> Option<(Timed, Option<Duration>)> {
        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(now));
        if left.is_some_and(|left| left < LEAST) {
            return None;
        }
        let timed = Timed {
            patience: Patience::new(self.deadline),
            since: now,
        };
        Some((timed, left))
    }

    /// Whether something that begins after `wait` could still end in time.
    pub(super) fn allows(&self, wait: Duration) -> bool {
        self.deadline.is_none_or(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            left.saturating_sub(wait) >= LEAST
        })
    }

    /// When the attempt must have been answered.
    pub(super) fn expiry(&self, timed: &Timed) -> Option<Instant> {
        timed.since.checked_add(self.attempt?)
    }

    /// Whether an attempt speaks against its endpoint that was not answered by the deadline: it had
    /// the better part of the time, and it was not the client who was in a hurry.
    pub(super) fn blames(&self, timed: &Timed) -> bool {
        match (self.deadline, self.half) {
            (Some(deadline), Some(half)) => deadline.saturating_duration_since(timed.since) >= half,
            _ => false,
        }
    }
}

// === impl Timed ===

impl Timed {
    pub(super) const fn patience(&self) -> &Patience {
        &self.patience
    }
}
