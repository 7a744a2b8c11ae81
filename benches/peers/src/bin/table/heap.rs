//! What is allocated, counted by the allocator.

use allocation_counter::measure;
use tightrope_peers::Case;

const PICKS: u32 = 1_000;

/// Allocations of a pick.
pub(crate) fn allocations(case: &Case, endpoints: u32) -> f64 {
    let mut picks = (case.make)(endpoints);
    picks.make(PICKS); // what the first picks set up is not counted
    let counted = measure(|| picks.make(PICKS));
    counted.count_total as f64 / f64::from(PICKS)
}

/// Bytes an endpoint of a balancer that has picked before, as asked of the allocator.
pub(crate) fn bytes(case: &Case, endpoints: u32) -> f64 {
    let mut kept = None;
    let counted = measure(|| {
        let mut picks = (case.make)(endpoints);
        picks.make(1);
        kept = Some(picks);
    });
    drop(kept);
    counted.bytes_current as f64 / f64::from(endpoints)
}
