//! What a strategy may know of a request.

use std::net::IpAddr;

use tightrope_upstream::{Attempt, Endpoint, Record, Tick};
use tokio::time::Instant;

/// What a strategy may know of a request: all optional, all borrowed.
///
/// ```
/// use tightrope_balance::Context;
///
/// let context = Context::new()
///     .with_client([192, 0, 2, 7].into())
///     .with_key(b"user-42");
/// assert_eq!(context.key(), Some(&b"user-42"[..]));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'r> {
    client: Option<IpAddr>,
    key: Option<&'r [u8]>,
    attempt: Option<&'r Attempt>,
    /// The serials of endpoints that were found full for this pick.
    full: &'r [u64],
    now: Option<(Instant, Tick)>,
    is_dry_run: bool,
}

/// Tells the balancer what a strategy may know of a request of type `R`.
///
/// Implemented for closures from `&R` to [`Context`], and for [`NoContext`]. One of your own is
/// given to [`Balance::with_describe`](crate::Balance::with_describe):
///
/// ```
/// use tightrope_balance::{Context, Describe};
///
/// struct ByPath;
///
/// impl<B> Describe<http::Request<B>> for ByPath {
///     fn describe<'r>(&self, request: &'r http::Request<B>) -> Context<'r> {
///         Context::new().with_key(request.uri().path().as_bytes())
///     }
/// }
/// ```
pub trait Describe<R> {
    /// What a strategy may know of `request`.
    fn describe<'r>(&self, request: &'r R) -> Context<'r>;
}

/// Tells nothing of a request: enough for every strategy that does not look at requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoContext;

// === impl Context ===

impl<'r> Context<'r> {
    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            client: None,
            key: None,
            attempt: None,
            full: &[],
            now: None,
            is_dry_run: false,
        }
    }

    /// The address of the client, as resolved by whoever may be believed.
    #[must_use]
    pub const fn with_client(mut self, client: IpAddr) -> Self {
        self.client = Some(client);
        self
    }

    /// What is hashed to keep a client on an endpoint: a user id, a cookie, a path.
    #[must_use]
    pub const fn with_key(mut self, key: &'r [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// Which try of the request it is; the endpoints of the earlier ones are not chosen again.
    #[must_use]
    pub const fn with_attempt(mut self, attempt: &'r Attempt) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// As a picker is asked again after it chose these, who are full.
    pub(crate) const fn with_full<'s>(self, full: &'s [u64]) -> Context<'s>
    where
        'r: 's,
    {
        Context { full, ..self }
    }

    /// Reads the clock, for all who ask for the time of this pick; `any` record of the upstream.
    pub(crate) fn timed(mut self, any: &Record) -> Self {
        let now = Instant::now();
        self.now = Some((now, any.tick(now)));
        self
    }

    /// To see what would be picked.
    pub(crate) const fn for_dry_run(mut self) -> Self {
        self.is_dry_run = true;
        self
    }

    /// Whether nothing will be sent: then a picker takes no turn and changes nothing else that later
    /// picks depend on.
    #[must_use]
    pub const fn is_dry_run(&self) -> bool {
        self.is_dry_run
    }

    /// When the pick is made. A balancer reads the clock before it asks a picker that has
    /// [observers](crate::Picker::observers), so that one look at it serves all; for others the
    /// clock is read here.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now.map_or_else(Instant::now, |(now, _)| now)
    }

    /// [`now`](Self::now) in the life of the upstream, whichever of its records is asked: what
    /// [latencies](Record::latency_ns) are read by.
    #[must_use]
    pub fn tick(&self, record: &Record) -> Tick {
        self.now
            .map_or_else(|| record.tick(Instant::now()), |(_, tick)| tick)
    }

    /// The address of the client.
    #[must_use]
    pub const fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// What is hashed.
    #[must_use]
    pub const fn key(&self) -> Option<&'r [u8]> {
        self.key
    }

    /// Whether `endpoint` is not to be chosen, since an earlier attempt of the request went there, or
    /// since it was chosen for this one and found full.
    #[inline]
    #[must_use]
    pub fn has_tried(&self, endpoint: &Endpoint) -> bool {
        // Nearly all are first attempts.
        self.is_retry() && self.is_among_tried(endpoint)
    }

    #[inline(never)]
    fn is_among_tried(&self, endpoint: &Endpoint) -> bool {
        self.is_repeat(endpoint) || self.full.contains(&endpoint.record().serial())
    }

    /// Whether an earlier attempt of the request went to `endpoint`.
    pub(crate) fn is_repeat(&self, endpoint: &Endpoint) -> bool {
        self.attempt
            .is_some_and(|attempt| attempt.has_tried(endpoint.id()))
    }

    /// Tells whoever follows the attempt that it goes there.
    #[inline]
    pub(crate) fn goes_to(&self, endpoint: &Endpoint) {
        if let Some(attempt) = self.attempt {
            attempt.goes_to(endpoint.id());
        }
    }

    /// Whether somebody was chosen for this request before.
    #[inline]
    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.attempt.is_some_and(|attempt| attempt.number() > 1) || !self.full.is_empty()
    }
}

// === impl Describe ===

impl<R> Describe<R> for NoContext {
    fn describe<'r>(&self, _: &'r R) -> Context<'r> {
        Context::new()
    }
}

impl<R, F> Describe<R> for F
where
    F: for<'r> Fn(&'r R) -> Context<'r>,
{
    fn describe<'r>(&self, request: &'r R) -> Context<'r> {
        self(request)
    }
}
