use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tightrope_upstream::{Failed, TakeUnsent};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::{
    Course,
    course::{Next, Others, Way},
};
use crate::{Policy, Replay};

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
        course: Course<P, B, Result<S::Response, S::Error>>,
        plan: Plan,
        #[pin]
        pause: Option<Sleep>,
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

/// What happens after the pause.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    Nothing,
    /// Another attempt, as soon as the service is ready.
    Attempt,
    /// Another attempt, if it may be.
    Hedge,
}

impl<S, P, B> ResponseFuture<S, P, B>
where
    S: Service<Request<Replay<B>>>,
{
    pub(super) fn new(
        service: Option<S>,
        course: Course<P, B, Result<S::Response, S::Error>>,
        response: S::Future,
        way: Way,
    ) -> Self {
        let delay = course.hedge_delay();
        Self {
            service,
            course,
            plan: delay.map_or(Plan::Nothing, |_| Plan::Hedge),
            pause: delay.map(sleep),
            first: Some(response),
            twin: None,
            first_way: Some(way),
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
    type Output = Result<Response<T>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Some(result) = self.as_mut().poll_attempts(task) {
                return Poll::Ready(result);
            }
            let mut this = self.as_mut().project();
            this.course.let_go([this.first_way, this.twin_way]);
            if *this.plan == Plan::Nothing {
                assert!(
                    this.first.is_some() || this.twin.is_some(),
                    "polled after it resolved"
                );
                return Poll::Pending;
            }
            if let Some(pause) = this.pause.as_mut().as_pin_mut() {
                ready!(pause.poll(task));
                this.pause.set(None);
            }
            if *this.plan == Plan::Hedge {
                let way = this.first_way.as_ref().or(this.twin_way.as_ref());
                *this.plan = match this.course.hedges(way) {
                    true => Plan::Attempt,
                    false => Plan::Nothing,
                };
                continue;
            }
            if let Err(error) = ready!(self.as_mut().poll_next(task)) {
                return Poll::Ready(error);
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
    fn poll_attempts(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Option<Result<Response<T>, S::Error>> {
        let mut this = self.project();
        let slots = [(this.first, this.first_way), (this.twin, this.twin_way)];
        let mut left = slots.iter().filter(|(slot, _)| slot.is_some()).count();
        for (mut slot, way) in slots {
            let Some(Poll::Ready(result)) = slot.as_mut().as_pin_mut().map(|slot| slot.poll(task))
            else {
                continue;
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
                    let pause = (!wait.is_zero()).then(|| sleep(wait));
                    this.pause.as_mut().set(pause);
                }
                // Nobody else joins the other one.
                Next::Wait if *this.plan == Plan::Hedge => *this.plan = Plan::Nothing,
                Next::Wait => {}
            }
        }
        None
    }

    /// Makes the next attempt, once the service is ready.
    #[expect(clippy::type_complexity, reason = "an error is an answer too")]
    fn poll_next(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Result<(), Result<Response<T>, S::Error>>> {
        let mut this = self.project();
        let Some(service) = this.service else {
            *this.plan = Plan::Nothing;
            return Poll::Ready(Ok(()));
        };
        let ready = ready!(service.poll_ready(task));
        *this.plan = Plan::Nothing;
        if let Err(error) = ready {
            if this.first.is_some() || this.twin.is_some() {
                return Poll::Ready(Ok(()));
            }
            return Poll::Ready(Err(this.course.take_held().unwrap_or(Err(error))));
        }
        let ways = [&*this.first_way, &*this.twin_way];
        let Some((request, way)) = this.course.request(ways) else {
            return Poll::Ready(Ok(()));
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
            this.pause.set(Some(sleep(delay)));
        }
        Poll::Ready(Ok(()))
    }
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
