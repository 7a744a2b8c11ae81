use std::{sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{Retry, Settings};
use crate::{Backoff, Budget, Hedge, RetryOn};

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
