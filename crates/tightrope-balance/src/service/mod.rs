//! The balancer as a service.

use std::{
    fmt,
    sync::Arc,
    task::{Context as Task, Poll},
};

use tightrope_upstream::{Pick, PickError, Picked, Upstream};
use tower_service::Service;

mod future;
mod shared;

pub use self::future::ResponseFuture;
pub(crate) use self::shared::Shared;

use crate::{BalanceError, Context, Describe, Explanation, NoContext, Random, Strategy};

/// Picks an endpoint for each request and calls the service inside with both.
///
/// Cheap to clone; all clones share one picker, and each draws chance of its own. There is no
/// worker task: pickers are built by whoever changes the upstream. The service inside owns the
/// [`Pick`] from then on and keeps it until the attempt is over.
///
/// It is ready when the service inside is. With nobody to pick, the response future fails at once;
/// wrap the strategy in [`FailOpen`](crate::FailOpen) to try the sick ones instead.
///
/// # Cancellation
/// A response future that is dropped drops the pick that the service inside holds, which gives
/// its place in flight back.
pub struct Balance<S, C = NoContext> {
    inner: S,
    context: C,
    shared: Arc<Shared>,
    random: Random,
}

// === impl Balance ===

impl<S> Balance<S> {
    /// Balances over `upstream` by `strategy`, and calls `inner` with each pick.
    pub fn new(upstream: &Upstream, strategy: impl Strategy, inner: S) -> Self {
        Self::from_shared(Shared::new(upstream, Box::new(strategy)), NoContext, inner)
    }
}

impl<S, C> Balance<S, C> {
    pub(crate) fn from_shared(shared: Arc<Shared>, context: C, inner: S) -> Self {
        Self {
            inner,
            context,
            random: shared.fork(),
            shared,
        }
    }

    /// Lets the strategy know what `context` tells of each request.
    ///
    /// ```
    /// use tightrope_balance::{Balance, Context, nginx::KeyHash};
    /// use tightrope_upstream::Upstream;
    ///
    /// let upstream = Upstream::new("users");
    /// let balance = Balance::new(&upstream, KeyHash::new(), ())
    ///     .with_context(|user: &String| Context::new().with_key(user.as_bytes()));
    /// ```
    pub fn with_context<R, D>(self, context: D) -> Balance<S, D>
    where
        D: for<'r> Fn(&'r R) -> Context<'r>,
    {
        self.with_describe(context)
    }

    /// As [`with_context`](Self::with_context), for a type of one's own that can be named, and
    /// may tell of requests of many types.
    pub fn with_describe<D>(self, context: D) -> Balance<S, D> {
        Balance {
            inner: self.inner,
            context,
            shared: self.shared,
            random: self.random,
        }
    }

    /// Draws from this seed instead of one that the system gave, so that the same calls pick the
    /// same endpoints again. Clones made from now on draw from seeds that follow from it.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.shared.reseed(seed);
        self.random = self.shared.fork();
        self
    }

    /// Picks an endpoint without calling the service.
    ///
    /// # Errors
    /// There is nobody to pick.
    pub fn pick(&mut self, context: &Context<'_>) -> Result<Pick, PickError> {
        self.shared.pick(context, &mut self.random)
    }

    /// Where `request` would go now, what of every endpoint counts for that, and what keeps others
    /// out. Nothing is picked and no turn is taken, so a call with this request that came next would
    /// go there.
    ///
    /// For humans and tests: it looks at every endpoint and allocates.
    ///
    /// ```
    /// use tightrope_balance::{Balance, LeastRequest};
    /// use tightrope_upstream::{Change, EndpointSpec, Upstream};
    ///
    /// let upstream = Upstream::new("api");
    /// let ids = ["10.0.0.1:80", "10.0.0.2:80"];
    /// let specs = ids.map(|id| EndpointSpec::new(id.parse().expect("an address")));
    /// let second = specs[1].id.clone();
    /// upstream.apply(Change::new().replace(specs).drain(second, "maintenance"))?;
    ///
    /// let balance = Balance::new(&upstream, LeastRequest::new(), ());
    /// assert_eq!(
    ///     balance.explain(&()).to_string(),
    ///     "upstream api, generation 1\n\
    ///      > 10.0.0.1:80: available, weight 1, 0 in flight, score 0.000\n  \
    ///        10.0.0.2:80: draining, weight 1, 0 in flight, score 0.000",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain<R>(&self, request: &R) -> Explanation
    where
        C: Describe<R>,
    {
        let context = self.context.describe(request);
        self.shared.explain(&context, &self.random)
    }

    /// The service inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, R> Service<R> for Balance<S, C>
where
    S: Service<Picked<R>>,
    C: Describe<R>,
{
    type Response = S::Response;
    type Error = BalanceError<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task).map_err(BalanceError::Inner)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let context = self.context.describe(&request);
        match self.shared.pick(&context, &mut self.random) {
            Ok(pick) => ResponseFuture::picked(self.inner.call(Picked::new(request, pick))),
            Err(error) => ResponseFuture::failed(error),
        }
    }
}

impl<S: Clone, C: Clone> Clone for Balance<S, C> {
    fn clone(&self) -> Self {
        Self::from_shared(
            Arc::clone(&self.shared),
            self.context.clone(),
            self.inner.clone(),
        )
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Balance<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
