//! Some of the endpoints, by what is configured of them.

use std::{fmt, sync::Arc};

use tightrope_upstream::{Endpoint, Snapshot, Weight};

use super::{Narrow, candidates};
use crate::{Picker, Strategy};

/// Any strategy, among those endpoints only that a condition on group, metadata or address chooses.
///
/// Two balancers over one upstream can so serve two kinds of requests with one set of probes,
/// counts and updates. Where none of the chosen is available nobody is picked. The condition is
/// asked when members, weights or groups change, never by a pick.
///
/// ```
/// use tightrope_balance::{Balance, LeastRequest, Only};
/// use tightrope_upstream::Upstream;
///
/// let upstream = Upstream::new("encoders");
/// let with_gpu = Only::new(LeastRequest::new(), |endpoint| {
///     endpoint.metadata().get("gpu").is_some()
/// });
/// let balance = Balance::new(&upstream, with_gpu, ());
/// ```
pub struct Only<T, F> {
    inner: T,
    choose: F,
    narrow: Narrow,
}

impl<T, F> Only<T, F>
where
    F: Fn(&Endpoint) -> bool,
{
    /// `inner` among the endpoints for which `choose` is true.
    pub fn new(inner: T, choose: F) -> Self {
        Self {
            inner,
            choose,
            narrow: Narrow::default(),
        }
    }
}

impl<T, F> Strategy for Only<T, F>
where
    T: Strategy,
    F: Fn(&Endpoint) -> bool + Send + 'static,
{
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let choose = &self.choose;
        self.narrow.build(&mut self.inner, snapshot, |snapshot| {
            let mut weights = vec![Weight::ZERO; snapshot.members().len()];
            for (index, endpoint) in candidates(snapshot).filter(|(_, endpoint)| choose(endpoint)) {
                weights[index] = endpoint.weight();
            }
            weights.into()
        })
    }
}

impl<T: fmt::Debug, F> fmt::Debug for Only<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Only")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
