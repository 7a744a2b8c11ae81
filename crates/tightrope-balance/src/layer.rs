//! The balancer as a layer.

use std::{fmt, sync::Arc};

use tightrope_upstream::Upstream;
use tower_layer::Layer;

use crate::{Balance, Context, NoContext, Strategy, service::Shared};

/// Puts a [`Balance`] in front of a service. All services it makes share one picker.
pub struct BalanceLayer<C = NoContext> {
    shared: Arc<Shared>,
    context: C,
}

// === impl BalanceLayer ===

impl BalanceLayer {
    /// Balances over `upstream` by `strategy`.
    #[must_use]
    pub fn new(upstream: &Upstream, strategy: impl Strategy) -> Self {
        Self {
            shared: Shared::new(upstream, Box::new(strategy)),
            context: NoContext,
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
            shared: self.shared,
            context,
        }
    }

    /// Lets the services it makes from now on draw from seeds that follow from this one, instead
    /// of one that the system gave.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.shared.reseed(seed);
        self
    }
}

impl<S, C: Clone> Layer<S> for BalanceLayer<C> {
    type Service = Balance<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Balance::from_shared(Arc::clone(&self.shared), self.context.clone(), inner)
    }
}

impl<C: Clone> Clone for BalanceLayer<C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            context: self.context.clone(),
        }
    }
}

impl<C> fmt::Debug for BalanceLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BalanceLayer")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
