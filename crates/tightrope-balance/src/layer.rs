//! The balancer as a layer.

use std::fmt;

use tightrope_upstream::Upstream;
use tower_layer::Layer;

use crate::{Balance, Context, NoContext, Queue, Strategy, WhenFull};

/// Puts a [`Balance`] in front of a service. All services it makes share one picker, and one queue
/// if there is any.
#[derive(Clone)]
pub struct BalanceLayer<C = NoContext> {
    /// In front of nothing yet.
    balance: Balance<(), C>,
}

// === impl BalanceLayer ===

impl BalanceLayer {
    /// Balances over `upstream` by `strategy`.
    #[must_use]
    pub fn new(upstream: &Upstream, strategy: impl Strategy) -> Self {
        Self {
            balance: Balance::new(upstream, strategy, ()),
        }
    }
}

impl<C> BalanceLayer<C> {
    /// Lets the strategy know what `context` tells of each request.
    #[must_use]
    pub fn with_context<R, D>(self, context: D) -> BalanceLayer<D>
    where
        D: for<'r> Fn(&'r R) -> Context<'r>,
    {
        self.with_describe(context)
    }

    /// As [`with_context`](Self::with_context), for a type of one's own that can be named, and
    /// may tell of requests of many types.
    #[must_use]
    pub fn with_describe<D>(self, context: D) -> BalanceLayer<D> {
        BalanceLayer {
            balance: self.balance.with_describe(context),
        }
    }

    /// As [`Balance::with_when_full`].
    #[must_use]
    pub fn with_when_full(self, when_full: WhenFull) -> Self {
        Self {
            balance: self.balance.with_when_full(when_full),
        }
    }

    /// As [`Balance::with_queue`].
    #[must_use]
    pub fn with_queue(self, queue: Queue) -> Self {
        Self {
            balance: self.balance.with_queue(queue),
        }
    }

    /// Lets the services it makes from now on draw from seeds that follow from this one, instead
    /// of one that the system gave.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.balance.reseed(seed);
        self
    }
}

impl<S, C: Clone> Layer<S> for BalanceLayer<C> {
    type Service = Balance<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        self.balance.around(inner)
    }
}

impl<C> fmt::Debug for BalanceLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalanceLayer")
            .field("balance", &self.balance)
            .finish()
    }
}
