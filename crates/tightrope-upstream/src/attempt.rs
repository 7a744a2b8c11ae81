//! One try of a request.

use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use crate::{Endpoint, EndpointId, Patience};

/// One try of a request: its number and the endpoints that earlier tries went to.
///
/// A retry layer hands it to the balancer with each try, so that the next one goes elsewhere, and
/// learns by a [`Destination`] where the balancer sent it. The first attempt allocates nothing,
/// unless it is followed.
///
/// ```
/// use tightrope_upstream::{Attempt, EndpointId};
///
/// let (first, destination) = Attempt::first().followed();
/// first.goes_to(&EndpointId::new("10.0.0.1:80")?); // what the balancer says
/// let second = match destination.endpoint() {
///     Some(endpoint) => first.next(endpoint.clone()),
///     None => first.next_anywhere(),
/// };
/// assert_eq!(second.number(), 2);
/// assert_eq!(second.tried(), [EndpointId::new("10.0.0.1:80")?]);
/// # Ok::<(), tightrope_upstream::NameError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// How many there were before.
    before: usize,
    tried: Vec<EndpointId>,
    destination: Option<Destination>,
    patience: Option<Patience>,
}

/// Where an attempt goes, as soon as that is chosen, and what came back from there; made by [`Attempt::followed`].
///
/// Two are equal if they are the same place, or both unknown.
#[derive(Clone, Debug)]
pub struct Destination(Arc<Trail>);

#[derive(Debug, Default)]
struct Trail {
    endpoint: OnceLock<EndpointId>,
    returned: Mutex<Option<Box<dyn Any + Send>>>,
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
        Self {
            before: 0,
            tried: Vec::new(),
            destination: None,
            patience: None,
        }
    }

    /// The attempt after this one, which went to `tried`. Nobody follows it yet.
    #[must_use]
    pub fn next(self, tried: EndpointId) -> Self {
        self.avoiding(tried).next_anywhere()
    }

    /// The attempt after this one, which may go where this one went: that is not known, or does not
    /// matter. Nobody follows it yet, and its time is not limited.
    #[must_use]
    pub fn next_anywhere(mut self) -> Self {
        self.before += 1;
        self.destination = None;
        self.patience = None;
        self
    }

    /// The same attempt, which must not go to `id`: another one of the request is there.
    #[must_use]
    pub fn avoiding(mut self, id: EndpointId) -> Self {
        if !self.has_tried(&id) {
            self.tried.push(id);
        }
        self
    }

    /// The same attempt, which may go to `id` although an earlier one did.
    #[must_use]
    pub fn forgiving(mut self, id: &EndpointId) -> Self {
        self.tried.retain(|tried| tried != id);
        self
    }

    /// The same attempt, and where it goes once that is known. What an earlier call gave is told
    /// nothing.
    #[must_use]
    pub fn followed(mut self) -> (Self, Destination) {
        let destination = Destination(Arc::default());
        self.destination = Some(destination.clone());
        (self, destination)
    }

    /// The same attempt, which is waited for as long as `patience` says.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = Some(patience);
        self
    }

    /// How long it is waited for; none: whoever makes it decides.
    #[inline]
    #[must_use]
    pub const fn patience(&self) -> Option<&Patience> {
        self.patience.as_ref()
    }

    /// Says that `endpoint` was chosen for it, to whoever follows it. A balancer calls this before
    /// it sends the request; only the first word counts.
    #[inline]
    pub fn goes_to(&self, endpoint: &EndpointId) {
        if let Some(Destination(trail)) = &self.destination {
            let _first_word_counts = trail.endpoint.set(endpoint.clone());
        }
    }

    /// Gives what the attempt was made of to whoever follows it, now that it ended: the head of its request, say, so that
    /// nobody need have made a copy for a further attempt. Whoever makes the attempt calls this before its answer is known
    /// to others; the last thing that is given counts. Nobody keeps it where nobody follows.
    pub fn give_back<T: Send + 'static>(&self, made_of: Box<T>) {
        if let Some(destination) = &self.destination {
            *destination.returned() = Some(made_of);
        }
    }

    /// Which attempt it is, from 1.
    #[inline]
    #[must_use]
    pub const fn number(&self) -> usize {
        self.before + 1
    }

    /// Where the earlier attempts went, in order, as far as the next one must not go there.
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

// === impl Destination ===

impl Destination {
    /// The endpoint that was chosen; none as long as nobody was.
    #[must_use]
    pub fn endpoint(&self) -> Option<&EndpointId> {
        self.0.endpoint.get()
    }

    /// What was [given back](Attempt::give_back), if it is of this type; told once.
    #[must_use]
    pub fn take_returned<T: 'static>(&self) -> Option<Box<T>> {
        self.returned().take()?.downcast().ok()
    }

    fn returned(&self) -> MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        // One word is put there or taken: nobody leaves it half done.
        let returned = self.0.returned.lock();
        returned.unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        self.endpoint() == other.endpoint()
    }
}

impl Eq for Destination {}

// === impl Unsent ===

impl<R> Unsent<R> {
    /// `request`, of which nothing was sent to `endpoint`.
    #[must_use]
    pub const fn new(request: R, endpoint: Arc<Endpoint>) -> Self {
        Self { request, endpoint }
    }
}
