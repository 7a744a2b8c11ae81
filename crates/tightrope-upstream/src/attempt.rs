//! One try of a request.

use std::sync::Arc;

use crate::{Endpoint, EndpointId};

/// One try of a request: its number and the endpoints that earlier tries went to.
///
/// A retry layer hands it to the balancer with each try, so that the next one goes elsewhere.
/// The first attempt allocates nothing.
///
/// ```
/// use tightrope_upstream::{Attempt, EndpointId};
///
/// let first = Attempt::first();
/// let second = first.next(EndpointId::new("10.0.0.1:80")?);
/// assert_eq!(second.number(), 2);
/// # Ok::<(), tightrope_upstream::NameError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    tried: Vec<EndpointId>,
}

/// A request that came back because no byte of it was sent, and the endpoint that it did not reach.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unsent<R> {
    /// The request as it was before the attempt.
    pub request: R,
    /// Where it was to go.
    pub endpoint: Arc<Endpoint>,
}

/// An error that may give back the request of the attempt it ended.
pub trait TakeUnsent<R> {
    /// The request, where it is certain that no byte of it was sent and it was not yet taken.
    fn take_unsent(&mut self) -> Option<Unsent<R>>;
}

// === impl Attempt ===

impl Attempt {
    /// The first attempt of a request.
    #[must_use]
    pub const fn first() -> Self {
        Self { tried: Vec::new() }
    }

    /// The attempt after this one, which went to `tried`.
    #[must_use]
    pub fn next(mut self, tried: EndpointId) -> Self {
        self.tried.push(tried);
        self
    }

    /// Which attempt it is, from 1.
    #[inline]
    #[must_use]
    pub fn number(&self) -> usize {
        self.tried.len() + 1
    }

    /// Where the earlier attempts went, in order.
    #[must_use]
    pub fn tried(&self) -> &[EndpointId] {
        &self.tried
    }

    /// Whether an earlier attempt went to `id`.
    #[must_use]
    pub fn has_tried(&self, id: &EndpointId) -> bool {
        self.tried.contains(id)
    }
}

// === impl Unsent ===

impl<R> Unsent<R> {
    /// `request`, of which nothing was sent to `endpoint`.
    #[must_use]
    pub const fn new(request: R, endpoint: Arc<Endpoint>) -> Self {
        Self { request, endpoint }
    }
}
