//! The response of a balanced request.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tightrope_upstream::{PickError, Picked};
use tower_service::Service;

use super::waiting::{Turn, Waiting};
use crate::{BalanceError, Describe};

pin_project! {
    /// The response of a balanced request.
    ///
    /// # Panics
    /// When it is polled again after it gave its result, where it had waited in a queue.
    ///
    /// # Cancellation
    /// Dropping it drops what the service inside does for the request, or gives up its place in the
    /// queue to the next one.
    pub struct ResponseFuture<S, C, R>
    where
        S: Service<Picked<R>>,
    {
        #[pin]
        kind: Kind<S, C, R>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<S, C, R>
    where
        S: Service<Picked<R>>,
    {
        Picked { #[pin] response: S::Future },
        Failed { error: PickError },
        // Apart, so that those who find room at once need not carry its size.
        Waiting { waiting: Option<Box<Waiting<S, C, R>>> },
    }
}

impl<S, C, R> ResponseFuture<S, C, R>
where
    S: Service<Picked<R>>,
{
    pub(crate) const fn picked(response: S::Future) -> Self {
        Self {
            kind: Kind::Picked { response },
        }
    }

    pub(crate) const fn failed(error: PickError) -> Self {
        Self {
            kind: Kind::Failed { error },
        }
    }

    pub(crate) const fn waiting(waiting: Box<Waiting<S, C, R>>) -> Self {
        Self {
            kind: Kind::Waiting {
                waiting: Some(waiting),
            },
        }
    }
}

impl<S, C, R> Future for ResponseFuture<S, C, R>
where
    S: Service<Picked<R>>,
    C: Describe<R>,
{
    type Output = Result<S::Response, BalanceError<S::Error>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.project().kind;
        if let KindProj::Waiting { waiting } = kind.as_mut().project() {
            let Some(turn) = waiting.take() else {
                polled_again()
            };
            // By value, there and back: then those who do not wait need not be kept in memory for it.
            match turn.poll(task) {
                Turn::Waits(turn) => {
                    *waiting = Some(turn);
                    return Poll::Pending;
                }
                Turn::Failed(error) => return Poll::Ready(Err(BalanceError::Pick(error))),
                Turn::Called(response) => kind.set(Kind::Picked { response }),
            }
        }
        match kind.project() {
            KindProj::Picked { response } => response.poll(task).map_err(BalanceError::Inner),
            KindProj::Failed { error } => Poll::Ready(Err(BalanceError::Pick(*error))),
            KindProj::Waiting { .. } => polled_again(),
        }
    }
}

#[cold]
fn polled_again() -> ! {
    panic!("polled again after the result, or after a panic of the service")
}

impl<S, C, R> fmt::Debug for ResponseFuture<S, C, R>
where
    S: Service<Picked<R>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Picked { .. } => "picked",
            Kind::Failed { .. } => "failed",
            Kind::Waiting { .. } => "waiting",
        };
        f.debug_struct("ResponseFuture").field("is", &kind).finish()
    }
}
