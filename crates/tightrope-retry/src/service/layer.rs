use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{Retry, Settings, settings::Heads};
use crate::{Backoff, Budget, Deadlines, Hedge, RetryOn};

/// Puts a [`Retry`] in front of a service.
///
/// | setting | default |
/// | --- | --- |
/// | [attempts](Self::with_attempts) | 3 |
/// | [policy](Self::with_policy) | idempotent requests, on the [default conditions](crate::Condition::DEFAULT) |
/// | [body limit](Self::with_body_limit) | 64 KiB |
/// | [budget](Self::with_budget) | its own: 20 percent of the requests, and 10 a second |
/// | [backoff](Self::with_backoff) | none: the next endpoint is asked at once |
/// | [`Retry-After`](Self::with_retry_after) | up to 1 s |
/// | [hedge](Self::with_hedge) | none |
/// | [time of a request](Self::with_timeout) | not limited |
/// | [time of an attempt](Self::with_attempt_timeout) | not limited |
/// | [deadlines of clients](Self::with_deadlines) | not heeded |
/// | [heads](Self::with_returned_heads) | are copied |
///
/// Services of the same layer share its budget.
#[derive(Clone, Debug)]
#[must_use]
pub struct RetryLayer<P = RetryOn> {
    settings: Settings<P>,
}

impl RetryLayer {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            settings: Settings::default(),
        }
    }
}

impl<P> RetryLayer<P> {
    /// At most this many attempts a request, the first included; 0 counts as 1, which retries
    /// nothing and copies nothing.
    pub const fn with_attempts(mut self, attempts: usize) -> Self {
        self.settings.attempts = attempts;
        self
    }

    /// Which requests may be sent again that may have been sent, and after what.
    pub fn with_policy<Q>(self, policy: Q) -> RetryLayer<Q> {
        let Settings {
            attempts,
            policy: _,
            body_limit,
            budget,
            backoff,
            retry_after,
            hedge,
            limits,
            heads,
        } = self.settings;
        RetryLayer {
            settings: Settings {
                attempts,
                policy,
                body_limit,
                budget,
                backoff,
                retry_after,
                hedge,
                limits,
                heads,
            },
        }
    }

    /// The most bytes that are kept of a body that may have to be sent again. A request with a
    /// longer one is not sent again once something of it was sent. 0: only requests without a body
    /// are.
    pub const fn with_body_limit(mut self, bytes: usize) -> Self {
        self.settings.body_limit = bytes;
        self
    }

    /// What bounds the retries of requests that may have been sent; clones of it may be given to
    /// other layers. None: only the attempts do.
    ///
    /// Requests of which nothing was sent, or whose connection was [stale], cost nothing: nobody
    /// had work with them.
    ///
    /// [stale]: tightrope_upstream::Failure::Stale
    pub fn with_budget(mut self, budget: impl Into<Option<Budget>>) -> Self {
        self.settings.budget = budget.into();
        self
    }

    /// Waits before a request is sent again that may have been sent. None: it is sent at once.
    pub fn with_backoff(mut self, backoff: impl Into<Option<Backoff>>) -> Self {
        self.settings.backoff = backoff.into();
        self
    }

    /// Waits as long as an endpoint asks for, by `Retry-After` (RFC 9110 §10.2.3) or gRPC's
    /// `grpc-retry-pushback-ms`, before the request is sent again, and instead of the backoff. If
    /// that is longer than `most` the request is not sent again, and the client is told what the
    /// endpoint said; so it is after a negative pushback, which asks for that.
    pub const fn with_retry_after(mut self, most: Duration) -> Self {
        self.settings.retry_after = most;
        self
    }

    /// Sends a second copy of a request that is not answered for a while. Requests must then come
    /// within a tokio runtime that has time enabled.
    pub fn with_hedge(mut self, hedge: impl Into<Option<Hedge>>) -> Self {
        self.settings.hedge = hedge.into();
        self
    }

    /// How long a request may take, from its call here: with all its attempts, the waits between
    /// them, and the body of the response. None: as long as it takes. Requests must then come within a
    /// tokio runtime that has time enabled; so they must with the next two.
    ///
    /// At its end the attempts that are under way are given up, and the request fails with
    /// [`RetryError::TimedOut`](crate::RetryError::TimedOut), unless an earlier attempt
    /// failed with an error of its own and the last one had found no endpoint yet. No wait is begun that would not
    /// end before: the result so far goes to the client instead. With less than a millisecond left no
    /// attempt is made.
    ///
    /// Of the attempts that are given up, one that had half of the time or more counts
    /// against its endpoint as a [`HeadTimeout`](tightrope_upstream::Failure::HeadTimeout). Others
    /// count for nobody and against nobody. The body is ended by whoever forwards it, at the
    /// [deadline](tightrope_upstream::Patience::deadline); so `Forward` of `tightrope-proxy` does. Tunnels
    /// are not limited.
    pub fn with_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.limits.request = limit.into();
        self
    }

    /// How long an attempt may take, from the choice of its endpoint to the head of its response:
    /// connection, TLS and the sending of the request included, which must therefore be well within it. None:
    /// as long as the service inside lets it. Where a choice has to be waited for, in a queue, that
    /// wait may take as long once more.
    ///
    /// An attempt that takes longer counts against its endpoint as a
    /// [`HeadTimeout`](tightrope_upstream::Failure::HeadTimeout) or a
    /// [`ConnectTimeout`](tightrope_upstream::Failure::ConnectTimeout), and the request goes elsewhere
    /// as after any of these. It counts so where the service inside asks whether the attempt is
    /// [over](tightrope_upstream::Patience::is_over), as `Forward` does; other services are dropped, with
    /// an outcome that counts for nobody. If it was the client who had not sent its request yet the
    /// attempt ends as a [`DownstreamTimeout`](tightrope_upstream::Failure::DownstreamTimeout).
    pub fn with_attempt_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.limits.attempt = limit.into();
        self
    }

    /// Heeds what clients say of how long they wait, as far as that is shorter than the time of the
    /// request, and tells endpoints how much is left. An attempt that ends at a client's own deadline
    /// never counts against its endpoint: anybody could be in a hurry to have it ejected. Where
    /// clients wait for less than an attempt may take, only a shorter
    /// [`with_attempt_timeout`](Self::with_attempt_timeout) finds out who hangs.
    pub fn with_deadlines(mut self, deadlines: Deadlines) -> Self {
        self.settings.limits.deadlines = deadlines;
        self
    }

    /// Makes no copy of the head of a request that may have to be sent again: the service inside
    /// [gives it back](tightrope_upstream::Attempt::give_back) when the attempt ended, as `http::request::Parts`. So
    /// `Forward` of `tightrope-proxy` does. With a [hedge](Self::with_hedge) copies are made all the same.
    ///
    /// What comes back is what went in but for what the services inside did to it; what ended at this
    /// hop is not in it any more. The [policy](crate::Policy) sees it so, and the next attempt is made of it. A head that
    /// does not come back is not sent again, unless nothing of the request was sent: choose this only where
    /// all that is inside gives it back and adds nothing that must not be there twice.
    ///
    /// It saves an attempt a twentieth of what it costs to forward a small request.
    pub const fn with_returned_heads(mut self) -> Self {
        self.settings.heads = Heads::Returned;
        self
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, P: Clone> Layer<S> for RetryLayer<P> {
    type Service = Retry<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::with_settings(inner, Arc::new(self.settings.clone()))
    }
}
