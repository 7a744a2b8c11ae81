//! What becomes of one request: what is known of its attempts, and what comes next.

use std::{mem, sync::Arc, time::Duration};

use http::{Method, Request, Response, header::UPGRADE, request};
use http_body::Body;
use tightrope_upstream::{
    Attempt, Destination, EndpointId, Failed, Failure, Fault, TakeUnsent, Unsent,
};
use tokio::time::Instant;

use super::Settings;
use crate::{Hedge, Policy, Replay, backoff::Pushback, replay::Kept};

/// The course of one request.
pub(super) struct Course<P, B, T> {
    settings: Arc<Settings<P>>,
    /// What further attempts are made of; none where what may have been sent is not sent again.
    spare: Option<Spare<B>>,
    /// The newest attempt, and where those before it went.
    attempt: Attempt,
    /// Whether that was paid for.
    is_paid: bool,
    /// Where a connection was stale: may be tried again if nobody else is left.
    stale: Option<EndpointId>,
    /// The request that the last attempt gave back.
    unsent: Option<Request<Replay<B>>>,
    /// What an attempt came to, for the client if there is nothing better.
    held: Option<T>,
}

/// A copy of a request.
struct Spare<B> {
    head: request::Parts,
    body: Kept<B>,
    /// When the request came, if that is to be known.
    began: Option<Instant>,
    /// Whether a second copy may be sent before the first came to anything.
    may_hedge: bool,
}

/// An attempt that is under way.
pub(super) struct Way {
    to: Option<Destination>,
    is_paid: bool,
}

/// Who else is under way when an attempt ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Nobody,
    /// Another attempt.
    Twin,
    /// One that is about to begin.
    Next,
}

/// What comes after the end of an attempt.
pub(super) enum Next<T> {
    /// This goes to the client.
    Done(T),
    /// Another attempt, after this time.
    Attempt(Duration),
    /// The other one under way decides.
    Wait,
}

// === impl Course ===

impl<P: Policy, B: Body, T> Course<P, B, T> {
    /// The first attempt of `request`.
    pub(super) fn start(
        settings: &Arc<Settings<P>>,
        request: Request<B>,
    ) -> (Self, Request<Replay<B>>, Way) {
        let (head, body) = request.into_parts();
        let may_repeat = settings.attempts > 1 && settings.policy.is_repeatable(&head);
        let (body, kept) = if may_repeat {
            Replay::keep(body, settings.body_limit)
        } else {
            (Replay::once(body), None)
        };
        let spare = kept.map(|body| {
            let hedge = settings.hedge.as_ref();
            Spare {
                head: head.clone(),
                body,
                began: hedge.is_some_and(Hedge::learns).then(Instant::now),
                may_hedge: hedge.is_some() && !opens_tunnel(&head),
            }
        });
        let mut course = Self {
            settings: Arc::clone(settings),
            spare,
            attempt: Attempt::first(),
            is_paid: false,
            stale: None,
            unsent: None,
            held: None,
        };
        let mut request = Request::from_parts(head, body);
        let way = match course.spare {
            Some(_) => course.follow(&mut request),
            // Nobody asks.
            None => Way {
                to: None,
                is_paid: false,
            },
        };
        (course, request, way)
    }
}

impl<P, B, T> Course<P, B, T> {
    pub(super) const fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// What an earlier attempt came to, if nothing else comes.
    pub(super) const fn take_held(&mut self) -> Option<T> {
        self.held.take()
    }

    /// The request for the next attempt, which avoids these.
    pub(super) fn request(
        &mut self,
        others: [&Option<Way>; 2],
    ) -> Option<(Request<Replay<B>>, Way)> {
        for other in others.into_iter().flatten() {
            if let Some(endpoint) = other.endpoint() {
                self.avoid(endpoint.clone());
            }
        }
        let spare = &self.spare;
        let copy = || {
            let spare = spare.as_ref()?;
            Some(Request::from_parts(spare.head.clone(), spare.body.replay()))
        };
        let mut request = self.unsent.take().or_else(copy)?;
        let way = self.follow(&mut request);
        Some((request, way))
    }

    /// Names the attempt in `request`.
    fn follow(&mut self, request: &mut Request<Replay<B>>) -> Way {
        let (attempt, destination) = mem::take(&mut self.attempt).followed();
        request.extensions_mut().insert(attempt.clone());
        self.attempt = attempt;
        Way {
            to: Some(destination),
            is_paid: mem::take(&mut self.is_paid),
        }
    }

    /// How long the attempt that is under way may take before another one joins it; none: it stays
    /// alone.
    pub(super) fn hedge_delay(&self) -> Option<Duration> {
        let spare = self.spare.as_ref()?;
        if !spare.may_hedge || !self.may_go_on() {
            return None;
        }
        self.settings.hedge.as_ref()?.delay()
    }

    /// Whether another attempt now joins `way`, which is paid for then.
    pub(super) fn hedges(&mut self, way: Option<&Way>) -> bool {
        // One that waits for an endpoint to have room would only wait twice.
        let goes = way.is_some_and(Way::is_known)
            && self.may_go_on()
            && self
                .spare
                .as_ref()
                .is_some_and(|spare| spare.may_hedge && spare.body.is_complete())
            && self.pay();
        if goes {
            self.count();
        }
        goes
    }

    /// Nothing more comes: what was paid for an attempt that was not made, or still waits for an endpoint on
    /// one of these, is given back.
    pub(super) fn leave(&mut self, ways: [&Option<Way>; 2]) {
        let mut unused = usize::from(mem::take(&mut self.is_paid));
        // Where nobody says where attempts go, this one may have gone as well.
        if !self.attempt.tried().is_empty() {
            let waits = |way: &&Way| way.is_paid && !way.is_known();
            unused += ways.into_iter().flatten().filter(waits).count();
        }
        for _ in 0..unused {
            self.settings.refund();
        }
    }

    /// The next attempts do not go there.
    fn avoid(&mut self, endpoint: EndpointId) {
        self.attempt = mem::take(&mut self.attempt).avoiding(endpoint);
    }

    /// Whether there is a copy of what may have been sent, which stays whole then.
    fn claim(&self) -> bool {
        self.spare.as_ref().is_some_and(|spare| spare.body.claim())
    }

    /// Whether what may have been sent goes again, which is paid for then.
    fn may_repeat(&mut self) -> bool {
        if !self.may_go_on() || self.spare.is_none() || !self.pay() {
            return false;
        }
        let goes = self.claim();
        if !goes {
            self.is_paid = false;
            self.settings.refund();
        }
        goes
    }

    fn may_go_on(&self) -> bool {
        self.attempt.number() < self.settings.attempts
    }

    fn pay(&mut self) -> bool {
        self.is_paid = self.settings.withdraw();
        self.is_paid
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
    /// Lets what an attempt came to go where another one on one of these is under way for certain, or waits
    /// for an endpoint: a response holds its place on another one, and requests that hold a place each and
    /// wait for that of the other would wait in vain.
    pub(super) fn let_go(&mut self, ways: [&Option<Way>; 2]) {
        let Some(held) = &self.held else { return };
        let mut ways = ways.into_iter().flatten();
        if ways.any(|way| way.is_known() || held.is_ok()) {
            self.held = None;
        }
    }

    /// What comes next, now that the attempt on `way` came to `result`.
    pub(super) fn settle(
        &mut self,
        mut result: Result<Response<T>, E>,
        way: &Way,
        others: Others,
    ) -> Next<Result<Response<T>, E>> {
        let endpoint = way.endpoint().cloned();
        if let Some(endpoint) = &endpoint {
            self.avoid(endpoint.clone());
        }
        let wait = match &mut result {
            Ok(response) => {
                if !self.retries_response(response) {
                    self.learn();
                    return self.done(result);
                }
                match Pushback::of(response.headers(), self.settings.retry_after) {
                    Pushback::None => self.backoff(others),
                    Pushback::Wait(wait) => Some(wait),
                    Pushback::Stop => {
                        // Neither by a retry nor by a hedge.
                        self.spare = None;
                        None
                    }
                }
            }
            Err(error) => {
                let failure = error.failure();
                if failure == Failure::Unavailable {
                    return self.nobody_left(result, way, others);
                }
                if let Some(unsent) = error.take_unsent() {
                    return self.send_elsewhere(unsent, result, others);
                }
                if failure.fault() == Fault::Downstream {
                    return self.done(result);
                }
                if matches!(failure, Failure::Stale | Failure::Refused) {
                    return self.after_stale(result, endpoint, others);
                }
                self.retries_failure(failure)
                    .then(|| self.backoff(others))
                    .flatten()
            }
        };
        match wait {
            Some(wait) if others != Others::Next && self.may_repeat() => self.go_on(result, wait),
            _ => self.end(result, others),
        }
    }

    /// Nothing of it was sent: it goes elsewhere, whatever it is.
    fn send_elsewhere(
        &mut self,
        unsent: Unsent<Request<Replay<B>>>,
        result: Result<Response<T>, E>,
        others: Others,
    ) -> Next<Result<Response<T>, E>> {
        if !self.may_go_on() || others == Others::Next {
            return self.end(result, others);
        }
        self.avoid(unsent.endpoint.id().clone());
        self.unsent = Some(unsent.request);
        self.go_on(result, Duration::ZERO)
    }

    /// It is nobody's fault, and nobody did anything of it.
    fn after_stale(
        &mut self,
        result: Result<Response<T>, E>,
        endpoint: Option<EndpointId>,
        others: Others,
    ) -> Next<Result<Response<T>, E>> {
        if !self.may_go_on() || others == Others::Next || !self.claim() {
            return self.end(result, others);
        }
        self.stale = endpoint;
        self.go_on(result, Duration::ZERO)
    }

    /// Nobody could be picked.
    fn nobody_left(
        &mut self,
        result: Result<Response<T>, E>,
        way: &Way,
        others: Others,
    ) -> Next<Result<Response<T>, E>> {
        if way.is_paid {
            self.settings.refund();
        }
        if others != Others::Nobody {
            return Next::Wait;
        }
        // Except one that did no wrong.
        if let Some(stale) = self.stale.take()
            && self.claim()
        {
            self.attempt = mem::take(&mut self.attempt).forgiving(&stale);
            return Next::Attempt(Duration::ZERO);
        }
        // What went wrong before says more.
        Next::Done(self.held.take().unwrap_or(result))
    }

    /// Whoever else was to come need not.
    fn done(&mut self, result: Result<Response<T>, E>) -> Next<Result<Response<T>, E>> {
        if mem::take(&mut self.is_paid) {
            self.settings.refund();
        }
        Next::Done(result)
    }

    /// Another attempt follows; `result` is for the client if that comes to nothing.
    fn go_on(
        &mut self,
        result: Result<Response<T>, E>,
        wait: Duration,
    ) -> Next<Result<Response<T>, E>> {
        self.count();
        self.held = Some(result);
        Next::Attempt(wait)
    }

    /// No further attempt follows.
    fn end(
        &mut self,
        result: Result<Response<T>, E>,
        others: Others,
    ) -> Next<Result<Response<T>, E>> {
        if others == Others::Nobody {
            return Next::Done(result);
        }
        self.held = Some(result);
        Next::Wait
    }

    /// Instead of one that failed beside another the next one begins at once (gRPC A6).
    fn backoff(&self, others: Others) -> Option<Duration> {
        let backoff = self.settings.backoff.as_ref();
        let backoff = backoff.filter(|_| others == Others::Nobody);
        Some(backoff.map_or(Duration::ZERO, |backoff| {
            backoff.draw(self.attempt.number())
        }))
    }

    /// Of a request that was answered, however many attempts that took: to look at the winners alone
    /// would have the delay of hedges shrink with each of them.
    fn learn(&self) {
        let began = self.spare.as_ref().and_then(|spare| spare.began);
        if let (Some(hedge), Some(began)) = (&self.settings.hedge, began) {
            hedge.learn(began.elapsed());
        }
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

/// Whether two copies would open two tunnels.
fn opens_tunnel(head: &request::Parts) -> bool {
    head.method == Method::CONNECT || head.headers.contains_key(UPGRADE)
}

// === impl Way ===

impl Way {
    fn endpoint(&self) -> Option<&EndpointId> {
        self.to.as_ref()?.endpoint()
    }

    fn is_known(&self) -> bool {
        self.endpoint().is_some()
    }
}
