//! What the writer of an upstream knows beyond the newest snapshot.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use crate::{EndpointId, Health, Record, ramp::Ramps, room::Room};

/// What the writer knows beyond the snapshot.
pub(crate) struct State {
    /// The health that a new endpoint starts with.
    pub(crate) initial_health: Health,
    /// Who starts slowly.
    pub(crate) ramps: Ramps,
    /// What all records share.
    pub(crate) room: Arc<Room>,
    /// The place of each member in the newest snapshot.
    pub(crate) index: HashMap<EndpointId, usize>,
    /// Members that left, for as long as something of theirs may be in flight.
    departed: HashMap<EndpointId, Departed>,
}

#[derive(Debug)]
struct Departed {
    /// The first generation without it.
    generation: u64,
    record: Weak<Record>,
}

/// Which members came, went and moved.
pub(crate) struct MemberChange {
    /// The new place of each old one; `None` where it left.
    pub(crate) places: Vec<Option<usize>>,
    pub(crate) added: Vec<(EndpointId, usize)>,
    pub(crate) departed: Vec<(EndpointId, Weak<Record>)>,
}

// === impl State ===

impl State {
    pub(crate) fn new(initial_health: Health, room: Arc<Room>) -> Self {
        Self {
            initial_health,
            ramps: Ramps::default(),
            room,
            index: HashMap::new(),
            departed: HashMap::new(),
        }
    }

    /// The record of a member that left, while something of it is in flight. Who merely holds an
    /// old snapshot does not keep it: that would make it a matter of luck what a member that comes
    /// back starts with.
    pub(crate) fn resumed(&self, id: &EndpointId, settled: u64) -> Option<Arc<Record>> {
        self.departed.get(id)?.in_use(settled)
    }

    /// Follows a change of membership that is published as `generation`.
    pub(crate) fn follow(&mut self, change: MemberChange, generation: u64, settled: u64) {
        let stay = (0..change.places.len()).map(Some);
        if !stay.eq(change.places.iter().copied()) {
            self.index.retain(|_, place| {
                let next = change.places[*place];
                *place = next.unwrap_or(*place);
                next.is_some()
            });
        }
        self.departed
            .retain(|_, departed| departed.in_use(settled).is_some());
        for (id, place) in change.added {
            self.departed.remove(&id);
            self.index.insert(id, place);
        }
        let departed = change.departed.into_iter();
        self.departed.extend(departed.map(|(id, record)| {
            let departed = Departed { generation, record };
            (id, departed)
        }));
    }
}

// === impl Departed ===

impl Departed {
    fn in_use(&self, settled: u64) -> Option<Arc<Record>> {
        let record = self.record.upgrade()?;
        // Until all followers know that it left, picks may still come, whatever is in flight now.
        (settled < self.generation || record.in_flight() > 0).then_some(record)
    }
}
