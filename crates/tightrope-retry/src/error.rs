//! Why there is no response.

use tightrope_upstream::{Failed, Failure, TakeUnsent, Unsent};

/// The error of a body, whose type is the user's.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetryError<E> {
    /// The time of the request, or of its last attempt, was over before there was one. As a
    /// [`Failure`] it is a [`HeadTimeout`](Failure::HeadTimeout).
    #[error("the time was over")]
    TimedOut,
    /// The last attempt failed.
    #[error("the last attempt failed")]
    Inner(#[source] E),
}

impl<E: Failed> Failed for RetryError<E> {
    fn failure(&self) -> Failure {
        match self {
            Self::TimedOut => Failure::HeadTimeout,
            Self::Inner(error) => error.failure(),
        }
    }
}

impl<R, E: TakeUnsent<R>> TakeUnsent<R> for RetryError<E> {
    fn take_unsent(&mut self) -> Option<Unsent<R>> {
        match self {
            Self::TimedOut => None,
            Self::Inner(error) => error.take_unsent(),
        }
    }
}
