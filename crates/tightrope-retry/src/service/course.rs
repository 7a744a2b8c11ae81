//! What becomes of one request: what is known of its attempts, and what comes next.

use std::{mem, sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, Method, Request, Response, header::UPGRADE, request};
use http_body::Body;
use tightrope_upstream::{
    Attempt, Destination, EndpointId, Failed, Failure, Fault, TakeUnsent, Unsent,
};
use tokio::time::Instant;

use super::{
    Settings,
    clock::{Clock, Timed},
};
use crate::{Hedge, Policy, Replay, backoff::Pushback, replay::Kept};

/// The course of one request.
pub(super) struct Course<P, B, T> {
    settings: Arc<Settings<P>>,
    /// How long it may take; none: for ever.
    clock: Option<Clock>,
    /// What further attempts are made of; none where what may have been sent is not sent again.
    spare: Option<Spare<B>>,
    /// The newest attempt, and where those before it went.
    attempt: Attempt,
    /// Whether that was paid for.
    is_paid: bool,
    /// Where a connection was stale: may be tried again if nobody else is left.
    stale: Option<EndpointId>,
    /// The request that the last attempt gave back. Seldom there and large, as what follows.
    unsent: Option<Box<Request<Replay<B>>>>,
    /// What an attempt came to, for the client if there is nothing better.
    held: Option<Box<T>>,
}

/// What is kept of a request.
struct Spare<B> {
    /// A copy, or what came back; none until it did.
    head: Option<Box<request::Parts>>,
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
    /// None where it has all the time.
    time: Option<Timed>,
    /// Whether that counts from the choice of its endpoint.
    is_on_its_way: bool,
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
    /// The course of the request with this head and body; the body of its first attempt, and the way of
    /// that unless its time is over already.
    pub(super) fn start(
        settings: &Arc<Settings<P>>,
        head: &mut request::Parts,
        body: B,
    ) -> (Self, Replay<B>, Option<Way>) {
        let clock = match settings.limits.is_none() {
            true => None,
            false => {
                let now = Instant::now();
                let clock = settings.limits.clock(&head.headers, now);
                clock.map(|clock| (clock, now))
            }
        };
        let may_repeat = settings.attempts > 1 && settings.policy.is_repeatable(head);
        let (body, kept) = if may_repeat {
            Replay::keep(body, settings.body_limit)
        } else {
            (Replay::once(body), None)
        };
        let spare = kept.map(|body| {
            let hedge = settings.hedge.as_ref();
            Spare {
                head: settings.copies_heads().then(|| Box::new(head.clone())),
                body,
                began: hedge.is_some_and(Hedge::learns).then(Instant::now),
                may_hedge: hedge.is_some() && !opens_tunnel(head),
            }
        });
        let (clock, now) = clock.unzip();
        let mut course = Self {
            settings: Arc::clone(settings),
            clock,
            spare,
            attempt: Attempt::first(),
            is_paid: false,
            stale: None,
            unsent: None,
            held: None,
        };
        let first = match (&course.spare, now) {
            // Nobody asks.
            (None, None) => Some(Way::unfollowed()),
            _ => course.follow(&mut head.headers, &mut head.extensions, now),
        };
        (course, body, first)
    }
}

impl<P, B, T> Course<P, B, T> {
    pub(super) const fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    /// When the request must have its response.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.clock.as_ref()?.deadline()
    }

    /// When the attempt must have it.
    pub(super) fn expiry(&self, way: &mut Way) -> Option<Instant> {
        let clock = self.clock.as_ref()?;
        way.look();
        clock.expiry(way.time.as_ref()?)
    }

    /// Whether an attempt that was not answered by the deadline speaks against its endpoint.
    pub(super) fn blames(&self, way: &Way) -> bool {
        let time = self.clock.as_ref().zip(way.time.as_ref());
        way.is_known() && time.is_some_and(|(clock, time)| clock.blames(time))
    }

    /// What an earlier attempt came to, if nothing else comes.
    pub(super) fn take_held(&mut self) -> Option<T> {
        self.held.take().map(|held| *held)
    }

    /// The request for the next attempt, which avoids these; none if there is no time for it.
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
            let head = spare.head.as_deref()?.clone();
            Some(Request::from_parts(head, spare.body.replay()))
        };
        let mut request = self.unsent.take().map(|unsent| *unsent).or_else(copy)?;
        let now = self.clock.is_some().then(Instant::now);
        let mut extensions = mem::take(request.extensions_mut());
        let way = self.follow(request.headers_mut(), &mut extensions, now)?;
        *request.extensions_mut() = extensions;
        Some((request, way))
    }

    /// Names the attempt in a request, and its time, if there is some left `now`.
    fn follow(
        &mut self,
        headers: &mut HeaderMap,
        extensions: &mut Extensions,
        now: Option<Instant>,
    ) -> Option<Way> {
        let (mut attempt, destination) = mem::take(&mut self.attempt).followed();
        let mut time = None;
        if let (Some(clock), Some(now)) = (&self.clock, now) {
            let (timed, left) = clock.begin(now)?;
            if let Some(left) = left {
                let deadlines = &self.settings.limits.deadlines;
                deadlines.write(headers, left);
            }
            attempt = attempt.with_patience(timed.patience().clone());
            time = Some(timed);
        }
        extensions.insert(attempt.clone());
        self.attempt = attempt;
        Some(Way {
            to: Some(destination),
            is_paid: mem::take(&mut self.is_paid),
            time,
            is_on_its_way: false,
        })
    }

    /// How long the attempt that is under way may take before another one joins it; none: it stays
    /// alone.
    pub(super) fn hedge_delay(&self) -> Option<Duration> {
        let spare = self.spare.as_ref()?;
        if !spare.may_hedge || !self.may_go_on() {
            return None;
        }
        let delay = self.settings.hedge.as_ref()?.delay()?;
        self.has_time_for(delay).then_some(delay)
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
        if mem::take(&mut self.is_paid) {
            self.settings.refund();
        }
        for way in ways.into_iter().flatten() {
            self.give_up(way);
        }
    }

    /// The attempt on `way` is given up: what was paid for it is given back if it still waited for an endpoint.
    pub(super) fn give_up(&self, way: &Way) {
        // Where nobody says where attempts go, this one may have gone as well.
        if way.is_paid && !way.is_known() && !self.attempt.tried().is_empty() {
            self.settings.refund();
        }
    }

    /// The next attempts do not go there.
    fn avoid(&mut self, endpoint: EndpointId) {
        self.attempt = mem::take(&mut self.attempt).avoiding(endpoint);
    }

    /// Whether there is a copy of what may have been sent, which stays whole then.
    fn claim(&self) -> bool {
        self.spare
            .as_ref()
            .is_some_and(|spare| spare.head.is_some() && spare.body.claim())
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

    /// Whether another attempt after this wait could end in time.
    fn has_time_for(&self, wait: Duration) -> bool {
        self.clock.as_ref().is_none_or(|clock| clock.allows(wait))
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
        if let Some(spare) = &mut self.spare
            && spare.head.is_none()
        {
            spare.head = way.take_head();
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
            Some(wait)
                if others != Others::Next && self.has_time_for(wait) && self.may_repeat() =>
            {
                self.go_on(result, wait)
            }
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
        if !self.may_go_on() || others == Others::Next || !self.has_time_for(Duration::ZERO) {
            return self.end(result, others);
        }
        self.avoid(unsent.endpoint.id().clone());
        self.unsent = Some(Box::new(unsent.request));
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
        Next::Done(self.take_held().unwrap_or(result))
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
        self.held = Some(Box::new(result));
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
        self.held = Some(Box::new(result));
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
        let head = self.spare.as_ref().and_then(|spare| spare.head.as_ref());
        head.is_some_and(|head| {
            let policy = &self.settings.policy;
            policy.retries_response(head, response.status(), response.headers())
        })
    }

    fn retries_failure(&self, failure: Failure) -> bool {
        let head = self.spare.as_ref().and_then(|spare| spare.head.as_ref());
        head.is_some_and(|head| self.settings.policy.retries_failure(head, failure))
    }
}

/// Whether two copies would open two tunnels.
fn opens_tunnel(head: &request::Parts) -> bool {
    head.method == Method::CONNECT || head.headers.contains_key(UPGRADE)
}

// === impl Way ===

impl Way {
    const fn unfollowed() -> Self {
        Self {
            to: None,
            is_paid: false,
            time: None,
            is_on_its_way: false,
        }
    }

    /// The attempt has had its time.
    pub(super) fn give_up(&self) {
        if let Some(time) = &self.time {
            time.patience().give_up();
        }
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.time
            .as_ref()
            .is_some_and(|time| time.patience().is_over())
    }

    /// Begins to count anew once its endpoint was chosen.
    fn look(&mut self) {
        if !self.is_on_its_way
            && self.is_known()
            && let Some(time) = &mut self.time
        {
            time.since = Instant::now();
            self.is_on_its_way = true;
        }
    }

    fn endpoint(&self) -> Option<&EndpointId> {
        self.to.as_ref()?.endpoint()
    }

    /// The head of its request, where that came back.
    fn take_head(&self) -> Option<Box<request::Parts>> {
        self.to.as_ref()?.take_returned()
    }

    fn is_known(&self) -> bool {
        self.endpoint().is_some()
    }
}
