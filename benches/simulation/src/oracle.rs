//! The strategy that nobody can have.

use std::sync::{Arc, atomic::Ordering};

use tightrope::{
    balance::{Context, Picker, Random, Strategy},
    upstream::Snapshot,
};

use crate::fleet::Seen;

/// Knows every queue and how slow each server is right now: what there is to gain at most.
#[derive(Debug)]
pub(crate) struct Oracle(pub(crate) Arc<[Seen]>);

#[derive(Debug)]
struct OraclePicker(Arc<[Seen]>);

impl Strategy for Oracle {
    fn build(&mut self, _: &Arc<Snapshot>) -> Box<dyn Picker> {
        Box::new(OraclePicker(Arc::clone(&self.0)))
    }
}

impl Picker for OraclePicker {
    fn pick(&self, _: &Context<'_>, random: &mut Random) -> Option<usize> {
        let count = self.0.len();
        let start = random.below(count as u64) as usize;
        (start..start + count)
            .map(|index| index % count)
            .min_by_key(|&index| {
                let seen = &self.0[index];
                let present = u64::from(seen.present.load(Ordering::Relaxed));
                // Until a worker is free, and then its work.
                let queued = (present + 1).max(crate::workload::WORKERS as u64);
                queued * u64::from(seen.slowness.load(Ordering::Relaxed))
            })
    }
}
