//! A request that waits for an endpoint that has room.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
};

use tightrope_upstream::{Freed, Pick, PickError, Picked};
use tokio::time::Sleep;
use tower_service::Service;

use super::{
    Shared, WhenFull,
    queue::{Lines, Place},
};
use crate::{Describe, Random};

/// A request that waits, and what it is to be given to.
pub(crate) struct Waiting<S, C, R> {
    /// The instance that was polled ready.
    service: S,
    request: R,
    context: C,
    shared: Arc<Shared>,
    when_full: WhenFull,
    random: Random,
    place: Place,
    /// None until the request is first in its line.
    freed: Option<Freed>,
    deadline: Pin<Box<Sleep>>,
    lines: Arc<Lines>,
}

/// What came of a look.
pub(crate) enum Turn<S: Service<Picked<R>>, C, R> {
    Waits(Box<Waiting<S, C, R>>),
    Failed(PickError),
    Called(S::Future),
}

impl<S, C, R> Waiting<S, C, R> {
    pub(crate) fn new(
        (service, request, context): (S, R, C),
        shared: &Arc<Shared>,
        when_full: WhenFull,
        lines: &Arc<Lines>,
        place: Place,
    ) -> Self {
        Self {
            service,
            request,
            context,
            random: shared.fork(),
            shared: Arc::clone(shared),
            when_full,
            place,
            freed: None,
            deadline: Box::pin(tokio::time::sleep(lines.settings.timeout)),
            lines: Arc::clone(lines),
        }
    }

    /// Looks whether it is time, and calls the service with the request if it is, which leaves the place
    /// to the next one.
    #[inline(never)]
    pub(crate) fn poll(mut self: Box<Self>, task: &mut Task<'_>) -> Turn<S, C, R>
    where
        S: Service<Picked<R>>,
        C: Describe<R>,
    {
        match self.poll_pick(task) {
            Poll::Pending => Turn::Waits(self),
            Poll::Ready(Err(error)) => Turn::Failed(error),
            Poll::Ready(Ok(pick)) => {
                let Self {
                    mut service,
                    request,
                    ..
                } = *self;
                Turn::Called(service.call(Picked::new(request, pick)))
            }
        }
    }

    /// Ready with a pick, or with the reason why there is none and will not be.
    fn poll_pick(&mut self, task: &mut Task<'_>) -> Poll<Result<Pick, PickError>>
    where
        C: Describe<R>,
    {
        // First: a place that came free at the deadline is taken.
        if let Poll::Ready(picked) = self.poll_turn(task) {
            return Poll::Ready(picked);
        }
        ready!(self.deadline.as_mut().poll(task));
        let timeout = self.lines.settings.timeout;
        Poll::Ready(Err(PickError::QueueTimeout(timeout)))
    }

    fn poll_turn(&mut self, task: &mut Task<'_>) -> Poll<Result<Pick, PickError>>
    where
        C: Describe<R>,
    {
        loop {
            ready!(self.place.poll_first(task));
            if let Some(freed) = &mut self.freed {
                ready!(Pin::new(freed).poll(task));
            }
            // Asked for before the pick, so that nothing is missed that happens after it.
            self.freed = Some(self.shared.freed());
            let context = self.context.describe(&self.request);
            match self.shared.pick(&context, self.when_full, &mut self.random) {
                Ok(pick) => {
                    context.goes_to(pick.endpoint());
                    return Poll::Ready(Ok(pick));
                }
                Err(error) => {
                    let line = self
                        .shared
                        .line(&error, &context, self.when_full, &self.random);
                    let Some(line) = line else {
                        return Poll::Ready(Err(error));
                    };
                    // Another endpoint may be chosen for the request by now.
                    if self.place.change_to(line) {
                        self.freed = None;
                    }
                }
            }
        }
    }
}

impl<S, C, R> fmt::Debug for Waiting<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
