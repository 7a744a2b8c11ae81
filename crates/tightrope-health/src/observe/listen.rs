//! Who listens to live traffic.

use std::sync::Arc;

use tightrope_upstream::{Endpoint, Outcome};

/// Listens to attempts: whom an [`ObserveLayer`](super::ObserveLayer) tells.
///
/// Called on the path of requests: it must be quick and must not panic. A pair listens with both.
pub trait Listen {
    /// What listens to one attempt.
    type Listening: Listening;

    /// An attempt on `endpoint` begins.
    fn begin(&self, endpoint: &Arc<Endpoint>) -> Self::Listening;
}

/// Listens to one attempt. Dropped where the attempt is given up.
pub trait Listening {
    /// It ended like this, with the head of a response or an error.
    fn end(self, outcome: Outcome);
}

impl<A: Listen, B: Listen> Listen for (A, B) {
    type Listening = (A::Listening, B::Listening);

    fn begin(&self, endpoint: &Arc<Endpoint>) -> Self::Listening {
        (self.0.begin(endpoint), self.1.begin(endpoint))
    }
}

impl<A: Listening, B: Listening> Listening for (A, B) {
    fn end(self, outcome: Outcome) {
        self.0.end(outcome);
        self.1.end(outcome);
    }
}

/// Nobody, where there is none.
impl<L: Listen> Listen for Option<L> {
    type Listening = Option<L::Listening>;

    fn begin(&self, endpoint: &Arc<Endpoint>) -> Self::Listening {
        self.as_ref().map(|listen| listen.begin(endpoint))
    }
}

impl<L: Listening> Listening for Option<L> {
    fn end(self, outcome: Outcome) {
        if let Some(listening) = self {
            listening.end(outcome);
        }
    }
}
