//! What becomes of one request: what is known of its attempts, and what comes next.

use std::{mem, sync::Arc};

use http::{Request, Response, request};
use http_body::Body;
use tightrope_upstream::{Attempt, Destination, EndpointId, Failed, Failure, TakeUnsent, Unsent};

use super::Settings;
use crate::{Policy, Replay, replay::Kept};

/// The course of one request.
pub(super) struct Course<P, B, T> {
    settings: Arc<Settings<P>>,
    /// What further attempts are made of; none where what may have been sent is not sent again.
    spare: Option<Spare<B>>,
    /// The newest attempt, and where those before it went.
    attempt: Attempt,
    /// Where a connection was stale: may be tried again if nobody else is left.
    stale: Option<EndpointId>,
    /// The request that the last attempt gave back.
    unsent: Option<Request<Replay<B>>>,
    /// What the last attempt came to, for the client if there is no other.
    held: Option<T>,
}

/// A copy of a request.
struct Spare<B> {
    head: request::Parts,
    body: Kept<B>,
}

/// What comes after the end of an attempt.
pub(super) enum Next<T> {
    /// This goes to the client.
    Done(T),
    /// Another attempt.
    Attempt,
}

// === impl Course ===

impl<P: Policy, B: Body, T> Course<P, B, T> {
    /// The first attempt of `request`, and where it goes if that matters.
    pub(super) fn start(
        settings: &Arc<Settings<P>>,
        request: Request<B>,
    ) -> (Self, Request<Replay<B>>, Option<Destination>) {
        let (head, body) = request.into_parts();
        let may_repeat = settings.attempts > 1 && settings.policy.is_repeatable(&head);
        let (body, kept) = if may_repeat {
            Replay::keep(body, settings.body_limit)
        } else {
            (Replay::once(body), None)
        };
        let spare = kept.map(|body| Spare {
            head: head.clone(),
            body,
        });
        let mut course = Self {
            settings: Arc::clone(settings),
            spare,
            attempt: Attempt::first(),
            stale: None,
            unsent: None,
            held: None,
        };
        let mut request = Request::from_parts(head, body);
        let destination = course.spare.is_some().then(|| course.follow(&mut request));
        (course, request, destination)
    }
}

impl<P, B, T> Course<P, B, T> {
    pub(super) const fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// Lets what an earlier attempt came to go, since another one is under way for certain.
    pub(super) fn let_go(&mut self) {
        self.held = None;
    }

    /// What an earlier attempt came to, if nothing else comes.
    pub(super) const fn take_held(&mut self) -> Option<T> {
        self.held.take()
    }

    /// Whether something of an earlier attempt is kept for the client.
    pub(super) const fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// The request for the next attempt, and where that goes.
    pub(super) fn request(&mut self) -> Option<(Request<Replay<B>>, Destination)> {
        let spare = &self.spare;
        let copy = || {
            let spare = spare.as_ref()?;
            Some(Request::from_parts(spare.head.clone(), spare.body.replay()))
        };
        let mut request = self.unsent.take().or_else(copy)?;
        let destination = self.follow(&mut request);
        Some((request, destination))
    }

    /// Names the attempt in `request`.
    fn follow(&mut self, request: &mut Request<Replay<B>>) -> Destination {
        let (attempt, destination) = mem::take(&mut self.attempt).followed();
        request.extensions_mut().insert(attempt.clone());
        self.attempt = attempt;
        destination
    }

    /// The next attempts do not go there.
    pub(super) fn avoid(&mut self, endpoint: EndpointId) {
        self.attempt = mem::take(&mut self.attempt).avoiding(endpoint);
    }

    /// Whether what may have been sent can be sent again.
    fn can_replay(&self) -> bool {
        self.spare
            .as_ref()
            .is_some_and(|spare| spare.body.can_replay())
    }

    fn may_go_on(&self) -> bool {
        self.attempt.number() < self.settings.attempts
    }

    fn count(&mut self) {
        self.attempt = mem::take(&mut self.attempt).next_anywhere();
    }
}

impl<P, B, T, E> Course<P, B, Result<Response<T>, E>>
where
    P: Policy,
    E: Failed + TakeUnsent<Request<Replay<B>>>,
{
    /// What comes next, now that an attempt that went to `endpoint` came to `result`.
    pub(super) fn settle(
        &mut self,
        mut result: Result<Response<T>, E>,
        endpoint: Option<EndpointId>,
    ) -> Next<Result<Response<T>, E>> {
        if let Some(endpoint) = &endpoint {
            self.avoid(endpoint.clone());
        }
        let failure = match &mut result {
            Ok(_) => None,
            Err(error) => {
                let failure = error.failure();
                if failure == Failure::Unavailable {
                    return self.nobody_left(result);
                }
                if let Some(unsent) = error.take_unsent() {
                    return self.send_elsewhere(unsent, result);
                }
                Some(failure)
            }
        };
        if !self.may_go_on() || !self.can_replay() {
            return Next::Done(result);
        }
        let goes_on = match (failure, &result) {
            // It was in nobody's hands for long, and is not the work that a budget bounds.
            (Some(Failure::Stale), _) => {
                self.stale = endpoint;
                true
            }
            (Some(failure), _) => self.retries_failure(failure) && self.settings.withdraw(),
            (None, Ok(response)) => self.retries_response(response) && self.settings.withdraw(),
            (None, Err(_)) => false,
        };
        if !goes_on {
            return Next::Done(result);
        }
        self.count();
        self.held = Some(result);
        Next::Attempt
    }

    /// Nothing of it was sent: it goes elsewhere, whatever it is.
    fn send_elsewhere(
        &mut self,
        unsent: Unsent<Request<Replay<B>>>,
        result: Result<Response<T>, E>,
    ) -> Next<Result<Response<T>, E>> {
        if !self.may_go_on() {
            return Next::Done(result);
        }
        self.avoid(unsent.endpoint.id().clone());
        self.count();
        self.unsent = Some(unsent.request);
        self.held = Some(result);
        Next::Attempt
    }

    /// Nobody could be picked.
    fn nobody_left(&mut self, result: Result<Response<T>, E>) -> Next<Result<Response<T>, E>> {
        // Except one that did no wrong.
        if self.can_replay()
            && let Some(stale) = self.stale.take()
        {
            self.attempt = mem::take(&mut self.attempt).forgiving(&stale);
            return Next::Attempt;
        }
        // What went wrong before says more.
        Next::Done(self.held.take().unwrap_or(result))
    }

    fn retries_response(&self, response: &Response<T>) -> bool {
        self.spare.as_ref().is_some_and(|spare| {
            let policy = &self.settings.policy;
            policy.retries_response(&spare.head, response.status(), response.headers())
        })
    }

    fn retries_failure(&self, failure: Failure) -> bool {
        self.spare.as_ref().is_some_and(|spare| {
            let policy = &self.settings.policy;
            policy.retries_failure(&spare.head, failure)
        })
    }
}
