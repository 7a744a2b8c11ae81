//! What a probe can find wrong.

use std::{error::Error, fmt::Write as _, io, sync::Arc, time::Duration};

use tightrope_upstream::Reason;

/// What was wrong with an endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// No connection could be made.
    #[error("connect failed")]
    Connect(#[source] io::Error),
    /// It took longer than this.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// There was a connection, and no whole or valid answer.
    #[error("exchange failed")]
    Exchange(#[source] Box<dyn Error + Send + Sync>),
    /// There was an answer, and not the right one: `status 503 is not in 200-299`.
    #[error("{0}")]
    Unexpected(String),
    /// What somebody else was told who asked the same: see [`Shared`](crate::probe::Shared).
    #[error(transparent)]
    Shared(Arc<Self>),
    /// The probe itself panicked.
    #[error("panicked")]
    Panicked,
}

impl ProbeError {
    pub(super) fn exchange(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Exchange(error.into())
    }

    /// All of it in one line, causes included, as it stands in the events of the upstream:
    /// `probe: connect failed: Connection refused (os error 111)`.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let mut words = format!("probe: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            // Writing to a string does not fail.
            let _infallible = write!(words, ": {error}");
            cause = error.source();
        }
        words.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_every_cause() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = ProbeError::Connect(refused);
        assert_eq!(error.to_string(), "connect failed");
        let words = "probe: connect failed: connection refused";
        assert_eq!(error.reason().as_str(), words);
    }

    #[test]
    fn a_timeout_says_how_long_was_waited() {
        let error = ProbeError::Timeout(Duration::from_secs(2));
        assert_eq!(error.reason().as_str(), "probe: no answer within 2s");
    }
}
