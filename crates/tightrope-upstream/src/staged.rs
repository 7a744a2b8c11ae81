//! What a checked change comes to: the snapshot, who leaves, and what observers are told.

use std::{
    collections::{BTreeSet, HashSet},
    mem,
    sync::Arc,
};

use crate::{
    Admin, Availability, Ejection, Endpoint, EventKind, Health, Reason, Snapshot, change::Edit,
    snapshot::Layout, stage::Stage, state::MemberChange,
};

/// A change that was checked and is ready to be published.
pub(crate) struct Staged {
    pub(crate) snapshot: Snapshot,
    /// Who goes out of service: members that stay first, then those that left, each in order.
    pub(crate) leaving: Vec<Arc<Endpoint>>,
    pub(crate) events: Vec<EventKind>,
    /// New contents for the writer's state, where the members changed.
    pub(crate) members: Option<MemberChange>,
}

/// Makes the verdicts true and says what is to be published; `None` if nothing changes.
pub(crate) fn finish(mut stage: Stage<'_>) -> Option<Staged> {
    let mut verdicts = Vec::new();
    let mut touched = Vec::new();
    for (endpoint, edit, reason) in mem::take(&mut stage.edits) {
        let event = make(&endpoint, edit, reason);
        // A member that left again has its verdict, in case it comes back, but no observer.
        match (event, stage.get(endpoint.id())) {
            (Some(event), Ok(member)) if Arc::ptr_eq(member.record(), endpoint.record()) => {
                verdicts.push(event);
                touched.push(member);
            }
            _ => {}
        }
    }
    stage.relimit();
    let relaid = stage.switches() || stage.differs() || stage.limits();
    if !relaid && verdicts.is_empty() {
        return None;
    }
    Some(if relaid {
        let members = stage.take_members();
        with_members(&stage, members, &touched, verdicts)
    } else {
        with_verdicts(&stage, &touched, verdicts)
    })
}

/// The same members in the same layout.
fn with_verdicts(stage: &Stage<'_>, touched: &[Arc<Endpoint>], verdicts: Vec<EventKind>) -> Staged {
    let (current, layout) = (stage.current, stage.current.layout());
    let mut availability: Box<[Availability]> = current.availability().into();
    let mut leaving = Vec::new();
    let places = touched.iter().map(|endpoint| endpoint.id());
    let places: BTreeSet<usize> = places
        .filter_map(|id| stage.state.index.get(id).copied())
        .collect();
    for place in places {
        let member = &current.members()[place];
        let after = layout.availability(member);
        let before = mem::replace(&mut availability[place], after);
        if before.is_in_service() && !after.is_in_service() {
            leaving.push(Arc::clone(member));
        }
    }
    let generation = current.generation() + 1;
    Staged {
        snapshot: current.next(generation, Arc::clone(layout), availability),
        leaving,
        events: verdicts,
        members: None,
    }
}

/// Other members, or the same ones in another order, described differently or in another role.
fn with_members(
    stage: &Stage<'_>,
    members: Box<[Arc<Endpoint>]>,
    touched: &[Arc<Endpoint>],
    verdicts: Vec<EventKind>,
) -> Staged {
    let current = stage.current;
    let generation = current.generation() + 1;
    let layout = Arc::new(Layout::new(
        generation,
        stage.active.clone(),
        stage.limit,
        members,
    ));
    let touched: HashSet<_> = touched.iter().map(Arc::as_ptr).collect();

    let mut change = MemberChange {
        places: vec![None; current.members().len()],
        added: Vec::new(),
        departed: Vec::new(),
    };
    let (mut leaving, mut events) = (Vec::new(), Vec::new());
    let mut availability = Vec::with_capacity(layout.members.len());
    // Most stay behind whom they stood behind: only others are looked up.
    let mut expected = 0;
    for (place, member) in layout.members.iter().enumerate() {
        let endpoint = || member.id().clone();
        let stays = current.members().get(expected);
        let old = if stays.is_some_and(|old| old.is_same(member)) {
            Some(expected)
        } else {
            stage.state.index.get(member.id()).copied()
        };
        let Some(old) = old else {
            availability.push(layout.availability(member));
            change.added.push((endpoint(), place));
            events.push(EventKind::Added {
                endpoint: endpoint(),
            });
            continue;
        };
        change.places[old] = Some(place);
        expected = old + 1;
        let same = Arc::ptr_eq(&current.members()[old], member);
        if !same && current.members()[old].spec() != member.spec() {
            events.push(EventKind::Changed {
                endpoint: endpoint(),
            });
        }
        let before = current.availability()[old];
        let after = if same && !stage.switches() && !touched.contains(&Arc::as_ptr(member)) {
            before
        } else {
            layout.availability(member)
        };
        if before.is_in_service() && !after.is_in_service() {
            leaving.push(Arc::clone(member));
        }
        availability.push(after);
    }
    let old = current.members().iter().zip(current.availability());
    for ((endpoint, before), _) in old.zip(&change.places).filter(|(_, now)| now.is_none()) {
        let record = Arc::downgrade(endpoint.record());
        change.departed.push((endpoint.id().clone(), record));
        events.push(EventKind::Removed {
            endpoint: endpoint.id().clone(),
        });
        if before.is_in_service() {
            leaving.push(Arc::clone(endpoint));
        }
    }
    events.extend(verdicts);
    if stage.switches() {
        events.push(EventKind::Activated {
            group: stage.active.clone(),
        });
    }
    if stage.limits() {
        events.push(EventKind::Limited {
            max_in_flight: stage.limit,
        });
    }
    Staged {
        snapshot: current.next(generation, layout, availability.into()),
        leaving,
        events,
        members: Some(change),
    }
}

/// Makes `edit` true; tells what changed by it, if anything.
fn make(endpoint: &Endpoint, edit: Edit, reason: Reason) -> Option<EventKind> {
    let (id, record) = (endpoint.id().clone(), endpoint.record());
    match edit {
        Edit::Drain | Edit::Undrain => {
            let admin = match edit {
                Edit::Drain => Admin::Draining,
                _ => Admin::Active,
            };
            let changes = record.with_status(|status| status.admin.set(admin, &reason));
            changes.then_some(EventKind::Admin {
                endpoint: id,
                admin,
                reason,
            })
        }
        Edit::Health(health) => {
            let changes = record.with_status(|status| status.health.set(health, &reason));
            if changes && health == Health::Healthy {
                record.forgive();
            }
            changes.then_some(EventKind::Health {
                endpoint: id,
                health,
                reason,
            })
        }
        Edit::Ejection(ejection) => {
            let changes = record.set_ejection(ejection, &reason);
            if changes && ejection != Ejection::Ejected {
                record.forgive();
            }
            changes.then_some(EventKind::Ejection {
                endpoint: id,
                ejection,
                reason,
            })
        }
    }
}
