//! What chooses.

use std::{fmt::Debug, sync::Arc};

use tightrope_upstream::Observer;

use crate::{Context, Random};

/// Chooses an endpoint of the snapshot it was built for. Immutable but for counters of its own.
///
/// Called for every request, by many threads at once: it takes no lock, allocates nothing, makes
/// no system call and does not wait.
pub trait Picker: Debug + Send + Sync + 'static {
    /// The index, in the members of the snapshot, of the endpoint for a request.
    ///
    /// It is one that is available and was not tried before; `None` only where there is none. In a
    /// [dry run](Context::is_dry_run) nothing changes but `random`.
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize>;

    /// What the endpoint with this index is compared by, the lower the better, to be
    /// [explained](crate::Balance::explain) to a human. `None` unless endpoints are compared.
    fn score(&self, index: usize, context: &Context<'_>) -> Option<f64> {
        let _ = (index, context);
        None
    }

    /// Who is told how attempts went: one for each member of the snapshot, by index. None unless
    /// the strategy learns from attempts.
    ///
    /// Every pick clones the one of its endpoint, so give each endpoint one of its own: one for all
    /// would be written to by every core for every request.
    fn observers(&self) -> &[Arc<dyn Observer>] {
        &[]
    }
}
