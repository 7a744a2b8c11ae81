//! The balancer as a service.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context as Task, Poll},
};

use tightrope_upstream::{Pick, PickError, Picked, Upstream};
use tower_service::Service;

mod future;
mod queue;
mod shared;
mod waiting;

pub(crate) use self::shared::Shared;
pub use self::{
    future::ResponseFuture,
    queue::{Queue, WhenFull},
};
use self::{queue::Lines, waiting::Waiting};

use crate::{BalanceError, Context, Describe, Explanation, NoContext, Random, Strategy};

/// Picks an endpoint for each request and calls the service inside with both.
///
/// Cheap to clone; all clones share one picker, and each draws chance of its own. There is no
/// worker task: pickers are built by whoever changes the upstream. The service inside owns the
/// [`Pick`] from then on and keeps it until the attempt is over.
///
/// It is ready when the service inside is. With nobody to pick, the response future fails at once;
/// wrap the strategy in [`FailOpen`](crate::FailOpen) to try the sick ones instead. Where all are
/// full it fails at once too, unless there is a [`Queue`].
///
/// # Cancellation
/// A response future that is dropped drops the pick that the service inside holds, which gives
/// its place in flight back.
pub struct Balance<S, C = NoContext> {
    inner: S,
    context: C,
    shared: Arc<Shared>,
    random: Random,
    when_full: WhenFull,
    /// None where nobody waits.
    lines: Option<Arc<Lines>>,
}

// === impl Balance ===

impl<S> Balance<S> {
    /// Balances over `upstream` by `strategy`, and calls `inner` with each pick.
    pub fn new(upstream: &Upstream, strategy: impl Strategy, inner: S) -> Self {
        let shared = Shared::new(upstream, Box::new(strategy));
        Self {
            inner,
            context: NoContext,
            random: shared.fork(),
            shared,
            when_full: WhenFull::MoveOn,
            lines: None,
        }
    }
}

impl<S, C> Balance<S, C> {
    /// A clone in front of `inner`.
    pub(crate) fn around<T>(&self, inner: T) -> Balance<T, C>
    where
        C: Clone,
    {
        Balance {
            inner,
            context: self.context.clone(),
            random: self.shared.fork(),
            shared: Arc::clone(&self.shared),
            when_full: self.when_full,
            lines: self.lines.clone(),
        }
    }

    /// Lets clones that are made from now on draw from seeds that follow from this one.
    pub(crate) fn reseed(&self, seed: u64) {
        self.shared.reseed(seed);
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
            when_full: self.when_full,
            lines: self.lines,
        }
    }

    /// What becomes of a request whose endpoint is full. Default: it moves on to another.
    #[must_use]
    pub const fn with_when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Lets requests wait while all endpoints are full, in one queue for all clones that are made
    /// from now on. Default: they fail at once.
    #[must_use]
    pub fn with_queue(mut self, queue: Queue) -> Self {
        self.lines = Some(Arc::new(Lines::new(queue)));
        self
    }

    /// How many requests wait in the queue.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lines.as_ref().map_or(0, |lines| lines.waiting())
    }

    /// Draws from this seed instead of one that the system gave, so that the same calls pick the
    /// same endpoints again. Clones made from now on draw from seeds that follow from it.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.reseed(seed);
        self.random = self.shared.fork();
        self
    }

    /// Picks an endpoint without calling the service, and without waiting.
    ///
    /// # Errors
    /// There is nobody to pick.
    pub fn pick(&mut self, context: &Context<'_>) -> Result<Pick, PickError> {
        self.shared.pick(context, self.when_full, &mut self.random)
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
    S: Service<Picked<R>> + Clone,
    C: Describe<R> + Clone,
{
    type Response = S::Response;
    type Error = BalanceError<S::Error>;
    type Future = ResponseFuture<S, C, R>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task).map_err(BalanceError::Inner)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let context = self.context.describe(&request);
        let picked = if self.lines.as_ref().is_some_and(|lines| lines.waiting() > 0) {
            self.pick_behind(&request)
        } else {
            self.shared.pick(&context, self.when_full, &mut self.random)
        };
        match picked {
            Ok(pick) => {
                context.goes_to(pick.endpoint());
                ResponseFuture::picked(self.inner.call(Picked::new(request, pick)))
            }
            Err(error) => match self.wait(request, error) {
                Ok(waiting) => ResponseFuture::waiting(waiting),
                Err(error) => ResponseFuture::failed(error),
            },
        }
    }
}

impl<S, C> Balance<S, C> {
    /// While others wait: those in front come first.
    #[cold]
    fn pick_behind<R>(&mut self, request: &R) -> Result<Pick, PickError>
    where
        C: Describe<R>,
    {
        let context = self.context.describe(request);
        let line = self.shared.line_of(&context, self.when_full, &self.random);
        // Who waits for others is not in the way.
        if let Some(lines) = &self.lines
            && lines.is_waited_for(line)
        {
            return Err(PickError::Full {
                available: self.shared.available(),
            });
        }
        self.shared.pick(&context, self.when_full, &mut self.random)
    }

    /// Waits in the queue, if there is one and it makes sense; else the reason why not.
    #[cold]
    fn wait<R>(&mut self, request: R, error: PickError) -> Result<Box<Waiting<S, C, R>>, PickError>
    where
        S: Clone,
        C: Describe<R> + Clone,
    {
        let context = self.context.describe(&request);
        let line = self
            .shared
            .line(&error, &context, self.when_full, &self.random);
        let (Some(lines), Some(line)) = (&self.lines, line) else {
            return Err(error);
        };
        let Some(place) = lines.join(line) else {
            let waiting = lines.waiting();
            return Err(PickError::QueueFull { waiting });
        };
        // The instance that is ready goes with the request.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        Ok(Box::new(Waiting::new(
            (ready, request, self.context.clone()),
            &self.shared,
            self.when_full,
            lines,
            place,
        )))
    }
}

impl<S: Clone, C: Clone> Clone for Balance<S, C> {
    fn clone(&self) -> Self {
        self.around(self.inner.clone())
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
