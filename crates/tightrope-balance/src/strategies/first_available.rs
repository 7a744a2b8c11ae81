//! In order, the first that is available.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::in_order;
use crate::{Context, Picker, Random, Strategy};

/// Always the first available endpoint, in the order of configuration; the others only while it
/// is not.
///
/// For a primary with stand-ins, where only one should work at a time. Weights do not matter, but
/// for 0, which keeps an endpoint out. A request that failed goes to the next in order. One look a
/// pick, and one more for each endpoint that was tried; 0 bytes an endpoint.
///
/// With [a limit](tightrope_upstream::EndpointSpec::with_max_in_flight) on each endpoint it fills one
/// after the other, as HAProxy's `first`: with little traffic the last ones can be stopped.
///
/// ```
/// use tightrope_balance::{Balance, Context, FirstAvailable};
/// use tightrope_upstream::{Change, EndpointSpec, Upstream};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let upstream = Upstream::new("database");
/// let (primary, standby) = ("10.0.0.1:5432".parse()?, "10.0.0.2:5432".parse()?);
/// let members = [EndpointSpec::new(primary), EndpointSpec::new(standby)];
/// upstream.apply(Change::new().replace(members))?;
/// let mut balance = Balance::new(&upstream, FirstAvailable::new(), ());
/// for _ in 0..3 {
///     assert_eq!(balance.pick(&Context::new())?.endpoint().id().as_str(), "10.0.0.1:5432");
/// }
///
/// upstream.apply(Change::new().drain("10.0.0.1:5432".parse()?, "maintenance"))?;
/// assert_eq!(balance.pick(&Context::new())?.endpoint().id().as_str(), "10.0.0.2:5432");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstAvailable {
    _private: (),
}

#[derive(Debug)]
struct FirstAvailablePicker(Arc<Snapshot>);

impl FirstAvailable {
    /// The strategy.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl Strategy for FirstAvailable {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        Box::new(FirstAvailablePicker(Arc::clone(snapshot)))
    }
}

impl Picker for FirstAvailablePicker {
    fn pick(&self, context: &Context<'_>, _: &mut Random) -> Option<usize> {
        in_order(&self.0, context).next()
    }
}
