//! Who may be picked and probed.

use std::sync::Arc;

use tightrope_upstream::{Endpoint, Snapshot};

use super::super::draw::Draw;

/// Those who are available in a snapshot, to be drawn or found.
#[derive(Debug)]
pub(super) struct Targets {
    snapshot: Arc<Snapshot>,
    draw: Draw,
    /// Serial and index of each, by serial.
    places: Box<[(u64, u32)]>,
}

impl Targets {
    /// `None` where nobody is available.
    pub(super) fn new(snapshot: &Arc<Snapshot>) -> Option<Self> {
        let draw = Draw::new(&snapshot.ramped())?;
        let members = snapshot.members();
        let available = snapshot.available().iter();
        let mut places: Box<[(u64, u32)]> = available
            .map(|&index| (members[index as usize].record().serial(), index))
            .collect();
        places.sort_unstable();
        Some(Self {
            snapshot: Arc::clone(snapshot),
            draw,
            places,
        })
    }

    pub(super) const fn draw(&self) -> &Draw {
        &self.draw
    }

    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// The index of the one whose record has this serial.
    pub(super) fn find(&self, serial: u64) -> Option<usize> {
        let place = self.places.binary_search_by_key(&serial, |place| place.0);
        place.ok().map(|place| self.places[place].1 as usize)
    }

    pub(super) fn endpoint(&self, index: usize) -> &Arc<Endpoint> {
        &self.snapshot.members()[index]
    }
}
