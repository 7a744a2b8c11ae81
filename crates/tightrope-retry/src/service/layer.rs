use tower_layer::Layer;

use super::{ATTEMPTS, Retry};

/// Puts a [`Retry`] in front of a service.
#[derive(Clone, Copy, Debug)]
pub struct RetryLayer {
    attempts: usize,
}

impl RetryLayer {
    /// At most three attempts a request.
    #[must_use]
    pub const fn new() -> Self {
        Self { attempts: ATTEMPTS }
    }

    /// At most this many attempts a request, the first included; 0 counts as 1, which retries
    /// nothing.
    #[must_use]
    pub const fn with_attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }
}

impl Default for RetryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = Retry<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(inner).with_attempts(self.attempts)
    }
}
