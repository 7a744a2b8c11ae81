//! The response of a balanced request.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tightrope_upstream::PickError;

use crate::BalanceError;

pin_project! {
    /// The response of a balanced request.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<F> {
        Picked { #[pin] response: F },
        Failed { error: PickError },
    }
}

impl<F> ResponseFuture<F> {
    pub(crate) const fn picked(response: F) -> Self {
        Self {
            kind: Kind::Picked { response },
        }
    }

    pub(crate) const fn failed(error: PickError) -> Self {
        Self {
            kind: Kind::Failed { error },
        }
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, BalanceError<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().kind.project() {
            KindProj::Picked { response } => {
                ready!(response.poll(context)).map_err(BalanceError::Inner)
            }
            KindProj::Failed { error } => Err(BalanceError::Pick(*error)),
        })
    }
}
