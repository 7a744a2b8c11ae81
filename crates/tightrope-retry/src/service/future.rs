use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tightrope_upstream::{Destination, Failed, TakeUnsent};
use tower_service::Service;

use super::{Course, course::Next};
use crate::{Policy, Replay};

pin_project! {
    /// The response of the attempt that counts.
    ///
    /// # Panics
    /// If it is polled after it resolved.
    ///
    /// # Cancellation
    /// Dropping it drops the attempts that are under way; no further one is made.
    pub struct ResponseFuture<S, P, B>
    where
        S: Service<Request<Replay<B>>>,
    {
        // For further attempts; none where there are none.
        service: Option<S>,
        course: Course<P, B, Result<S::Response, S::Error>>,
        // Whether the next attempt waits for the service to be ready.
        is_due: bool,
        destination: Option<Destination>,
        #[pin]
        response: Option<S::Future>,
    }
}

impl<S, P, B> ResponseFuture<S, P, B>
where
    S: Service<Request<Replay<B>>>,
{
    pub(super) const fn new(
        service: Option<S>,
        course: Course<P, B, Result<S::Response, S::Error>>,
        response: S::Future,
        destination: Option<Destination>,
    ) -> Self {
        Self {
            service,
            course,
            is_due: false,
            destination,
            response: Some(response),
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

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(response) = this.response.as_mut().as_pin_mut() {
                let is_known = |to: &Destination| to.endpoint().is_some();
                if this.course.holds() && this.destination.as_ref().is_some_and(is_known) {
                    this.course.let_go();
                }
                let result = ready!(response.poll(context));
                this.response.set(None);
                let destination = this.destination.take();
                let endpoint = destination.and_then(|to| to.endpoint().cloned());
                match this.course.settle(result, endpoint) {
                    Next::Done(result) => return Poll::Ready(result),
                    Next::Attempt => *this.is_due = true,
                }
            }
            let (true, Some(service)) = (*this.is_due, &mut this.service) else {
                panic!("polled after it resolved")
            };
            if let Err(error) = ready!(service.poll_ready(context)) {
                *this.is_due = false;
                return Poll::Ready(this.course.take_held().unwrap_or(Err(error)));
            }
            *this.is_due = false;
            if let Some((request, destination)) = this.course.request() {
                this.response.set(Some(service.call(request)));
                *this.destination = Some(destination);
            }
        }
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
