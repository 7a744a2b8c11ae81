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
    shared::Miss,
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

    /// Calls the service with the request, which leaves its place to the next one.
    pub(crate) fn call(self, pick: Pick) -> S::Future
    where
        S: Service<Picked<R>>,
    {
        let Self {
            mut service,
            request,
            ..
        } = self;
        service.call(Picked::new(request, pick))
    }

    /// Ready with a pick, or with the reason why there is none and will not be.
    pub(crate) fn poll_pick(&mut self, task: &mut Task<'_>) -> Poll<Result<Pick, PickError>>
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
                Ok(pick) => return Poll::Ready(Ok(pick)),
                Err(Miss { error, line: None }) => return Poll::Ready(Err(error)),
                Err(Miss {
                    line: Some(line), ..
                }) => {
                    // Another endpoint is chosen for the request by now.
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
