//! What builds pickers.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use crate::Picker;

/// Builds a [`Picker`] for each snapshot, off the path of requests.
///
/// A strategy belongs to one balancer and is called by one writer at a time, so whatever it
/// wants to keep from one snapshot to the next (a cursor, a table that still holds) is its own
/// plain state.
///
/// One of your own is short:
///
/// ```
/// use std::sync::Arc;
/// use tightrope_balance::{Context, Picker, Random, Strategy};
/// use tightrope_upstream::Snapshot;
///
/// /// The one with the fewest requests in flight, whatever it weighs.
/// struct Fewest;
///
/// #[derive(Debug)]
/// struct FewestPicker(Arc<Snapshot>);
///
/// impl Strategy for Fewest {
///     fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
///         Box::new(FewestPicker(Arc::clone(snapshot)))
///     }
/// }
///
/// impl Picker for FewestPicker {
///     fn pick(&self, context: &Context<'_>, _: &mut Random) -> Option<usize> {
///         let members = self.0.members();
///         let available = self.0.available().iter().map(|&index| index as usize);
///         let untried = available.filter(|&index| !context.has_tried(&members[index]));
///         untried.min_by_key(|&index| members[index].record().in_flight())
///     }
/// }
/// ```
///
/// Weights of members are those that were configured. A strategy that compares them and wants
/// endpoints to [start slowly](tightrope_upstream::Ramp) builds from
/// [`snapshot.ramped()`](Snapshot::ramped).
pub trait Strategy: Send + 'static {
    /// The picker for `snapshot`. It must not panic, whatever the members and weights are.
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker>;
}

impl Strategy for Box<dyn Strategy> {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        (**self).build(snapshot)
    }
}
