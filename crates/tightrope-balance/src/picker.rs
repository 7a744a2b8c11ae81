//! What chooses.

use std::fmt::Debug;

use crate::{Context, Random};

/// Chooses an endpoint of the snapshot it was built for. Immutable but for counters of its own.
///
/// Called for every request, by many threads at once: it takes no lock, allocates nothing, makes
/// no system call and does not wait.
pub trait Picker: Debug + Send + Sync + 'static {
    /// The index, in the members of the snapshot, of the endpoint for a request.
    ///
    /// It is one that is available and was not tried before; `None` only where there is none.
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize>;
}
