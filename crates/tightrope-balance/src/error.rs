//! What can go wrong with a balanced request.

use tightrope_upstream::{Failed, Failure, PickError, TakeUnsent, Unsent};

/// Why a balanced request has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BalanceError<E> {
    /// No endpoint was picked.
    #[error("no endpoint was picked")]
    Pick(#[source] PickError),
    /// The service inside failed.
    #[error("the picked endpoint failed")]
    Inner(#[source] E),
}

impl<E: Failed> Failed for BalanceError<E> {
    fn failure(&self) -> Failure {
        match self {
            Self::Pick(error) => error.failure(),
            Self::Inner(error) => error.failure(),
        }
    }
}

impl<R, E: TakeUnsent<R>> TakeUnsent<R> for BalanceError<E> {
    fn take_unsent(&mut self) -> Option<Unsent<R>> {
        match self {
            Self::Pick(_) => None,
            Self::Inner(error) => error.take_unsent(),
        }
    }
}
