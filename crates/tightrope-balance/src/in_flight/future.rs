//! The response of one endpoint's service.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tightrope_upstream::{Classify, Pick};
use tower_service::Service;

use super::Hold;

pin_project! {
    /// The response of one endpoint's service: waits until the service is ready, then calls it.
    ///
    /// # Panics
    /// When it is polled again after it gave its result.
    ///
    /// # Cancellation
    /// Dropping it drops what the service does for the request, then gives the pick back.
    pub struct ResponseFuture<S, R, K, H>
    where
        S: Service<R>,
    {
        #[pin]
        state: State<S, R>,
        classify: K,
        hold: H,
        // Last, so that it is dropped last: when nothing is in flight nothing is going on.
        pick: Option<Pick>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, R>
    where
        S: Service<R>,
    {
        Waiting { service: S, request: Option<R> },
        Called { #[pin] response: S::Future },
        Done,
    }
}

impl<S: Service<R>, R, K, H> ResponseFuture<S, R, K, H> {
    pub(super) const fn new(service: S, request: R, pick: Pick, classify: K, hold: H) -> Self {
        Self {
            state: State::Waiting {
                service,
                request: Some(request),
            },
            classify,
            hold,
            pick: Some(pick),
        }
    }
}

impl<S, R, K, H> Future for ResponseFuture<S, R, K, H>
where
    S: Service<R>,
    K: Classify<S::Response, S::Error>,
    H: Hold<S::Response>,
{
    type Output = Result<H::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = loop {
            let called = match this.state.as_mut().project() {
                StateProj::Waiting { service, request } => {
                    match (ready!(service.poll_ready(context)), request.take()) {
                        (Ok(()), Some(request)) => service.call(request),
                        (Err(error), _) => break Err(error),
                        (Ok(()), None) => polled_again(),
                    }
                }
                StateProj::Called { response } => break ready!(response.poll(context)),
                StateProj::Done => polled_again(),
            };
            this.state.set(State::Called { response: called });
        };
        this.state.set(State::Done);
        let Some(mut pick) = this.pick.take() else {
            polled_again()
        };
        let outcome = this.classify.classify(result.as_ref());
        Poll::Ready(match result {
            Ok(response) => Ok(this.hold.hold(response, pick, outcome)),
            Err(error) => {
                pick.set_outcome(outcome);
                Err(error)
            }
        })
    }
}

#[cold]
fn polled_again() -> ! {
    panic!("polled again after the result, or after a panic of the service")
}

impl<S: Service<R>, R, K, H> fmt::Debug for ResponseFuture<S, R, K, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("pick", &self.pick)
            .finish_non_exhaustive()
    }
}
