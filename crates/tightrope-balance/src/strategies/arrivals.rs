//! Who has become available.

use std::collections::HashSet;

use tightrope_upstream::Snapshot;

/// Who was available in the last snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals {
    layout: u64,
    available: Box<[u32]>,
    serials: HashSet<u64>,
}

impl Arrivals {
    /// The serials of those who are available in `snapshot` and were not in the last one.
    pub(super) fn since_last(&mut self, snapshot: &Snapshot) -> HashSet<u64> {
        let (layout, available) = (snapshot.layout_generation(), snapshot.available());
        if self.layout == layout && *self.available == *available {
            return HashSet::new();
        }
        let members = snapshot.members();
        let serials = available
            .iter()
            .map(|&index| members[index as usize].record().serial());
        let serials: HashSet<u64> = serials.collect();
        let arrivals = serials.difference(&self.serials).copied().collect();
        self.layout = layout;
        self.available = available.into();
        self.serials = serials;
        arrivals
    }
}
