//! A bound on the load of each endpoint.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::room::Limit;
use crate::{Picker, Strategy};

/// [`Maglev`](crate::Maglev), [`RingHash`](crate::RingHash), [`Rendezvous`](crate::Rendezvous) or
/// [`Jump`](crate::Jump) that sends nobody more than its share of the load, times a factor.
///
/// Plain hashing gives an endpoint whatever its keys bring, and one hot key is enough to drown
/// it. With a bound, an endpoint has at most `ceil(factor * (in flight on all available + 1) *
/// weight / sum of the weights)` requests in flight, never less than one; what is over goes to
/// the next on the route of its key. So a key moves only while its endpoint is full. The bound holds
/// exactly where picks do not overlap; picks at the same instant may each take the last place.
///
/// The factor is given in percent, 125 by default: the load of the busiest is at most a quarter
/// above the mean, at the price that under load some keys move. 150 to 200 move fewer; 100 is
/// close to a round robin and looks at many endpoints. Do not choose it where a key must never
/// move: it is no lock.
///
/// A pick whose first choice is idle costs as much as without a bound. A busy one is compared with
/// what the others have in flight, which takes a look at part of the endpoints, and at all of
/// them if it is full. No memory beside that of the strategy inside.
///
/// Sources: V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent hashing with bounded loads"
/// (arXiv 1608.01350); J. Chen, B. Coleman, A. Shrivastava, "Revisiting consistent hashing with
/// bounded loads" (arXiv 1908.08762) for going on at random instead of to the neighbour.
///
/// ```
/// use tightrope_balance::{Bounded, Maglev};
///
/// let strategy = Bounded::new(Maglev::new()).with_factor_percent(150);
/// ```
#[derive(Debug)]
pub struct Bounded<T> {
    inner: T,
    percent: u32,
}

/// A strategy that knows how to pass over a full endpoint.
pub(super) trait Boundable: Strategy {
    fn build_within(&mut self, snapshot: &Arc<Snapshot>, limit: Option<Limit>) -> Box<dyn Picker>;
}

/// The factor where the user gives none.
const PERCENT: u32 = 125;

impl<T> Bounded<T> {
    /// `inner`, where nobody gets more than 125 % of its share.
    pub const fn new(inner: T) -> Self {
        Self {
            inner,
            percent: PERCENT,
        }
    }

    /// Nobody gets more than `percent` of its share, in percent; less than 100 counts as 100.
    #[must_use]
    pub fn with_factor_percent(mut self, percent: u32) -> Self {
        self.percent = percent.max(100);
        self
    }
}

impl<T: Boundable> Strategy for Bounded<T> {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let limit = Limit::new(self.percent, snapshot);
        self.inner.build_within(snapshot, Some(limit))
    }
}
