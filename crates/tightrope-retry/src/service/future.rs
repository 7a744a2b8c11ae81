use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tightrope_upstream::{Failed, Fault, TakeUnsent};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use super::{
    Course,
    course::{Next, Others, Way},
};
use crate::{Policy, Replay, RetryError};

pin_project! {
    /// The response of the attempt that counts.
    ///
    /// # Panics
    /// If it is polled after it resolved, or, where it has to wait, outside of a tokio runtime with
    /// time enabled.
    ///
    /// # Cancellation
    /// Dropping it drops the attempts that are under way; no further one is made, and one that was paid
    /// for and not made yet costs the budget nothing.
    pub struct ResponseFuture<S, P, B>
    where
        S: Service<Request<Replay<B>>>,
    {
        // For further attempts; none where there are none.
        service: Option<S>,
        course: Course<P, B, Result<S::Response, RetryError<S::Error>>>,
        plan: Plan,
        // When that is to be; none: at once.
        due: Option<Instant>,
        // For whatever comes next. In a box, as most futures have none and are moved.
        timer: Option<Pin<Box<Sleep>>>,
        // The attempts that are under way; the second is a hedge, or came to take the place of one.
        #[pin]
        first: Option<S::Future>,
        #[pin]
        twin: Option<S::Future>,
        first_way: Option<Way>,
        twin_way: Option<Way>,
    }

    impl<S, P, B> PinnedDrop for ResponseFuture<S, P, B>
    where
        S: Service<Request<Replay<B>>>,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            this.course.leave([&*this.first_way, &*this.twin_way]);
        }
    }
}

/// What comes besides the end of an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    Nothing,
    /// Another attempt, as soon as the service is ready.
    Attempt,
    /// Another attempt, if it may be.
    Hedge,
    /// The end: there was no time from the first.
    Failure,
}

/// What an attempt, and with it the request, may come to.
type Ended<T, E> = Result<Response<T>, RetryError<E>>;

impl<S, P, B> ResponseFuture<S, P, B>
where
    S: Service<Request<Replay<B>>>,
{
    pub(super) fn new(
        service: Option<S>,
        course: Course<P, B, Result<S::Response, RetryError<S::Error>>>,
        first: Option<(S::Future, Way)>,
    ) -> Self {
        let (first, first_way) = first.unzip();
        let (plan, delay) = match &first {
            Some(_) => match course.hedge_delay() {
                Some(delay) => (Plan::Hedge, Some(delay)),
                None => (Plan::Nothing, None),
            },
            None => (Plan::Failure, None),
        };
        Self {
            service,
            course,
            plan,
            due: delay.map(after),
            timer: None,
            first,
            twin: None,
            first_way,
            twin_way: None,
        }
    }
}

impl<S, P, B, T> Future for ResponseFuture<S, P, B>
where
    S: Service<Request<Replay<B>>, Response = Response<T>>,
    S::Error: Failed + TakeUnsent<Request<Replay<B>>>,
    P: Policy,
{
    type Output = Ended<T, S::Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Some(result) = self.as_mut().poll_attempts(task) {
                return Poll::Ready(result);
            }
            let this = self.as_mut().project();
            this.course.let_go([this.first_way, this.twin_way]);
            match (*this.plan, *this.due) {
                (Plan::Nothing, _) => assert!(
                    this.first.is_some() || this.twin.is_some(),
                    "polled after it resolved"
                ),
                (Plan::Failure, _) => {
                    *this.plan = Plan::Nothing;
                    return Poll::Ready(Err(RetryError::TimedOut));
                }
                (Plan::Hedge, None) => {
                    let way = this.first_way.as_ref().or(this.twin_way.as_ref());
                    *this.plan = match this.course.hedges(way) {
                        true => Plan::Attempt,
                        false => Plan::Nothing,
                    };
                    continue;
                }
                (Plan::Attempt, None) => match self.as_mut().poll_next(task) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(result)) => return Poll::Ready(result),
                    Poll::Pending => {}
                },
                (Plan::Hedge | Plan::Attempt, Some(_)) => {}
            }
            let now = ready!(self.as_mut().poll_time(task));
            if self
                .course
                .deadline()
                .is_some_and(|deadline| deadline <= now)
            {
                return Poll::Ready(self.time_out(task));
            }
        }
    }
}

impl<S, P, B, T> ResponseFuture<S, P, B>
where
    S: Service<Request<Replay<B>>, Response = Response<T>>,
    S::Error: Failed + TakeUnsent<Request<Replay<B>>>,
    P: Policy,
{
    /// What an attempt came to, if that is the end.
    fn poll_attempts(self: Pin<&mut Self>, task: &mut Context<'_>) -> Option<Ended<T, S::Error>> {
        let this = self.project();
        let slots = [(this.first, this.first_way), (this.twin, this.twin_way)];
        let mut left = slots.iter().filter(|(slot, _)| slot.is_some()).count();
        for (mut slot, way) in slots {
            let Some(attempt) = slot.as_mut().as_pin_mut() else {
                continue;
            };
            let result = match (attempt.poll(task), &*way) {
                (Poll::Ready(result), _) => result.map_err(RetryError::Inner),
                (Poll::Pending, Some(way)) if way.is_given_up() => {
                    this.course.give_up(way);
                    Err(RetryError::TimedOut)
                }
                (Poll::Pending, _) => continue,
            };
            slot.set(None);
            left -= 1;
            // Set with the attempt.
            let Some(way) = way.take() else { continue };
            let others = match (*this.plan, left) {
                (Plan::Attempt, _) => Others::Next,
                (_, 0) => Others::Nobody,
                _ => Others::Twin,
            };
            match this.course.settle(result, &way, others) {
                Next::Done(result) => {
                    *this.plan = Plan::Nothing;
                    return Some(result);
                }
                Next::Attempt(wait) => {
                    *this.plan = Plan::Attempt;
                    *this.due = (!wait.is_zero()).then(|| after(wait));
                }
                // Nobody else joins the other one.
                Next::Wait if *this.plan == Plan::Hedge => *this.plan = Plan::Nothing,
                Next::Wait => {}
            }
        }
        None
    }

    /// Makes the next attempt, once the service is ready.
    fn poll_next(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Result<(), Ended<T, S::Error>>> {
        let mut this = self.project();
        let Some(service) = this.service else {
            *this.plan = Plan::Nothing;
            return Poll::Ready(Ok(()));
        };
        let ready = ready!(service.poll_ready(task));
        *this.plan = Plan::Nothing;
        let is_alone = this.first.is_none() && this.twin.is_none();
        if let Err(error) = ready {
            if !is_alone {
                return Poll::Ready(Ok(()));
            }
            let error = Err(RetryError::Inner(error));
            return Poll::Ready(Err(this.course.take_held().unwrap_or(error)));
        }
        let ways = [&*this.first_way, &*this.twin_way];
        let Some((request, way)) = this.course.request(ways) else {
            if !is_alone {
                return Poll::Ready(Ok(()));
            }
            let late = Err(RetryError::TimedOut);
            return Poll::Ready(Err(this.course.take_held().unwrap_or(late)));
        };
        let response = service.call(request);
        if this.first.is_none() {
            this.first.set(Some(response));
            *this.first_way = Some(way);
        } else {
            this.twin.set(Some(response));
            *this.twin_way = Some(way);
        }
        if !(this.first.is_some() && this.twin.is_some())
            && let Some(delay) = this.course.hedge_delay()
        {
            *this.plan = Plan::Hedge;
            *this.due = Some(after(delay));
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when something is due, of which it is told then: the plan, or the end of an attempt. The
    /// end of the request is for the caller.
    fn poll_time(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Instant> {
        let this = self.project();
        if *this.plan == Plan::Nothing {
            *this.due = None;
        }
        let ways = [this.first_way.as_mut(), this.twin_way.as_mut()];
        let ways = ways.map(|way| {
            let way = way?;
            Some((this.course.expiry(way)?, &*way))
        });
        let [first, twin] = ways.map(|way| way.map(|(expiry, _)| expiry));
        let times = [*this.due, this.course.deadline(), first, twin];
        let Some(next) = times.into_iter().flatten().min() else {
            return Poll::Pending;
        };
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(next)));
        if timer.deadline() != next {
            timer.as_mut().reset(next);
        }
        ready!(timer.as_mut().poll(task));
        let now = Instant::now().max(next);
        if this.due.is_some_and(|due| due <= now) {
            *this.due = None;
        }
        for (expiry, way) in ways.into_iter().flatten() {
            if expiry <= now {
                way.give_up();
            }
        }
        Poll::Ready(now)
    }

    /// Gives up all attempts. One that had time enough is polled once more, so that whoever
    /// makes it counts it against its endpoint, or says that it was the client who kept all waiting.
    fn time_out(self: Pin<&mut Self>, task: &mut Context<'_>) -> Ended<T, S::Error> {
        let this = self.project();
        *this.plan = Plan::Nothing;
        let mut late = RetryError::TimedOut;
        for (mut slot, way) in [(this.first, this.first_way), (this.twin, this.twin_way)] {
            if let Some(way) = &*way
                && let Some(attempt) = slot.as_mut().as_pin_mut()
                && this.course.blames(way)
            {
                way.give_up();
                if let Poll::Ready(Err(error)) = attempt.poll(task)
                    && error.failure().fault() == Fault::Downstream
                {
                    late = RetryError::Inner(error);
                }
            }
            slot.set(None);
        }
        this.course.take_held().unwrap_or(Err(late))
    }
}

/// What is too far away for a clock is as far as it goes.
fn after(wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + FAR)
}

impl<S, P, B> fmt::Debug for ResponseFuture<S, P, B>
where
    S: Service<Request<Replay<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("attempt", self.course.attempt())
            .finish_non_exhaustive()
    }
}
