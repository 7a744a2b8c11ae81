//! Who has become available.

use std::collections::HashSet;

use tightrope_upstream::Snapshot;

/// The serials of those who were available in the last snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals(HashSet<u64>);

impl Arrivals {
    /// The serials of those who are available in `snapshot` and were not in the last one.
    pub(crate) fn since_last(&mut self, snapshot: &Snapshot) -> HashSet<u64> {
        let members = snapshot.members();
        let serials = snapshot
            .available()
            .iter()
            .map(|&index| members[index as usize].record().serial());
        let serials: HashSet<u64> = serials.collect();
        let arrivals = serials.difference(&self.0).copied().collect();
        self.0 = serials;
        arrivals
    }
}
