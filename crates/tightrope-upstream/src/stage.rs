//! Checks a change step by step and prepares what it leads to, touching nothing until the end.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Weak},
};

use crate::{
    Admin, Availability, Change, ChangeError, Endpoint, EndpointId, EndpointSpec, EventKind, Group,
    Health, Reason, Record, Snapshot, Verdict,
    change::{Edit, Step},
    snapshot::Layout,
};

/// What the writer knows beyond the snapshot.
#[derive(Debug)]
pub(crate) struct State {
    /// The health that a new endpoint starts with.
    pub(crate) initial_health: Health,
    /// The place of each member in the newest snapshot.
    pub(crate) index: HashMap<EndpointId, usize>,
    /// Records of members that left, for as long as something of theirs is in flight.
    pub(crate) departed: HashMap<EndpointId, Weak<Record>>,
}

/// A change on the way to being published.
pub(crate) struct Stage<'a> {
    state: &'a State,
    current: &'a Snapshot,
    /// The members to be; `None` until a step concerns more than verdicts. Members that go leave
    /// a hole, so that the places of the others stay.
    slots: Option<Vec<Option<Slot>>>,
    /// Places of members that have none in `state.index`.
    fresh: HashMap<EndpointId, usize>,
    active: Option<Group>,
    edits: Vec<(usize, Edit, Reason)>,
    events: Vec<EventKind>,
}

struct Slot {
    endpoint: Arc<Endpoint>,
    /// What it was in the current snapshot; `None` if it was not in it.
    before: Option<Availability>,
}

/// A change that was checked and is ready to be published.
pub(crate) struct Staged {
    pub(crate) snapshot: Snapshot,
    pub(crate) leaving: Vec<Arc<Endpoint>>,
    pub(crate) events: Vec<EventKind>,
    /// New contents for the writer's state, where the members changed.
    pub(crate) members: Option<MemberChange>,
}

/// Which members came, went and moved.
pub(crate) struct MemberChange {
    /// The new place of each old one; `None` where it left.
    pub(crate) places: Vec<Option<usize>>,
    pub(crate) added: Vec<(EndpointId, usize)>,
    pub(crate) departed: Vec<(EndpointId, Weak<Record>)>,
}

// === impl Stage ===

impl<'a> Stage<'a> {
    pub(crate) fn new(state: &'a State, current: &'a Snapshot) -> Self {
        Self {
            state,
            current,
            slots: None,
            fresh: HashMap::new(),
            active: current.active_group().cloned(),
            edits: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Checks all of `change`.
    pub(crate) fn check(&mut self, change: Change) -> Result<(), ChangeError> {
        let current = self.current.generation();
        match change.if_generation {
            Some(expected) if expected != current => {
                return Err(ChangeError::Stale { expected, current });
            }
            _ => {}
        }
        for step in change.steps {
            self.step(step)?;
        }
        match &self.active {
            Some(group) if self.active.as_ref() != self.current.active_group() => {
                let known = self.endpoints().any(|e| e.group() == Some(group));
                if !known {
                    return Err(ChangeError::UnknownGroup {
                        group: group.clone(),
                    });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn step(&mut self, step: Step) -> Result<(), ChangeError> {
        match step {
            Step::Replace(members) => self.replace(members),
            Step::Add(member) => self.add(member),
            Step::Remove(id) => {
                let place = self.place(&id)?;
                self.slots()[place] = None;
                self.fresh.remove(&id);
                self.events.push(EventKind::Removed { endpoint: id });
                Ok(())
            }
            Step::SetWeight(id, weight) => self.change(&id, |spec| spec.weight = weight),
            Step::SetGroup(id, group) => self.change(&id, |spec| spec.group = group),
            Step::SetMetadata(id, metadata) => self.change(&id, |spec| spec.metadata = metadata),
            Step::Activate(group) => {
                self.active = group;
                Ok(())
            }
            Step::Edit(id, edit, reason) => {
                let place = self.place(&id)?;
                self.edits.push((place, edit, reason));
                Ok(())
            }
        }
    }

    fn replace(&mut self, members: Vec<EndpointSpec>) -> Result<(), ChangeError> {
        let mut ids = HashSet::with_capacity(members.len());
        if let Some(twice) = members.iter().find(|member| !ids.insert(&member.id)) {
            return Err(ChangeError::Duplicate {
                id: twice.id.clone(),
            });
        }
        let gone: Vec<EndpointId> = self
            .endpoints()
            .map(|endpoint| endpoint.id().clone())
            .filter(|id| !ids.contains(id))
            .collect();
        let mut next = Vec::with_capacity(members.len());
        for member in members {
            let slot = match self.place(&member.id) {
                Ok(place) => self.slots()[place].take(),
                Err(_) => None,
            };
            next.push(match slot {
                Some(slot) => self.updated(slot, member),
                None => self.created(member),
            });
        }
        self.events.extend(
            gone.into_iter()
                .map(|endpoint| EventKind::Removed { endpoint }),
        );
        // Edits of earlier steps follow the endpoints to their new places.
        let base = self.slots().len();
        let moved: HashMap<u64, usize> = (base..)
            .zip(&next)
            .map(|(place, slot)| (slot.endpoint.record().serial(), place))
            .collect();
        let edits = mem::take(&mut self.edits);
        for (place, edit, reason) in edits {
            if let Some(&place) = self.serial(place).and_then(|serial| moved.get(&serial)) {
                self.edits.push((place, edit, reason));
            }
        }
        self.fresh = (base..)
            .zip(&next)
            .map(|(place, slot)| (slot.endpoint.id().clone(), place))
            .collect();
        let slots = self.slots();
        slots.iter_mut().for_each(|slot| *slot = None);
        slots.extend(next.into_iter().map(Some));
        Ok(())
    }

    fn add(&mut self, member: EndpointSpec) -> Result<(), ChangeError> {
        if self.place(&member.id).is_ok() {
            return Err(ChangeError::Duplicate { id: member.id });
        }
        let id = member.id.clone();
        let slot = self.created(member);
        let slots = self.slots();
        slots.push(Some(slot));
        let place = slots.len() - 1;
        self.fresh.insert(id, place);
        self.edits
            .push((place, Edit::Undrain, Reason::from("added")));
        Ok(())
    }

    fn change(
        &mut self,
        id: &EndpointId,
        change: impl FnOnce(&mut EndpointSpec),
    ) -> Result<(), ChangeError> {
        let place = self.place(id)?;
        if let Some(slot) = self.slots()[place].take() {
            let mut spec = slot.endpoint.spec().clone();
            change(&mut spec);
            let slot = self.updated(slot, spec);
            self.slots()[place] = Some(slot);
        }
        Ok(())
    }

    /// The same endpoint as `spec` describes it now.
    fn updated(&mut self, slot: Slot, spec: EndpointSpec) -> Slot {
        if *slot.endpoint.spec() == spec {
            return slot;
        }
        self.events.push(EventKind::Changed {
            endpoint: spec.id.clone(),
        });
        Slot {
            endpoint: Arc::new(Endpoint::new(spec, Arc::clone(slot.endpoint.record()))),
            before: slot.before,
        }
    }

    /// An endpoint that was not there, with its old record if something of it is still in flight.
    fn created(&mut self, spec: EndpointSpec) -> Slot {
        self.events.push(EventKind::Added {
            endpoint: spec.id.clone(),
        });
        // It left in this very change, or in an earlier one.
        let current = self.state.index.get(&spec.id);
        let record = current
            .map(|&place| Arc::clone(self.current.members()[place].record()))
            .or_else(|| self.state.departed.get(&spec.id).and_then(Weak::upgrade))
            .unwrap_or_else(|| Arc::new(Record::new(self.state.initial_health)));
        Slot {
            endpoint: Arc::new(Endpoint::new(spec, record)),
            before: current.map(|&place| self.current.availability()[place]),
        }
    }

    fn place(&self, id: &EndpointId) -> Result<usize, ChangeError> {
        let place = self.fresh.get(id).or_else(|| self.state.index.get(id));
        place
            .copied()
            .filter(|&place| match &self.slots {
                Some(slots) => slots[place]
                    .as_ref()
                    .is_some_and(|slot| slot.endpoint.id() == id),
                None => true,
            })
            .ok_or_else(|| ChangeError::UnknownEndpoint { id: id.clone() })
    }

    fn serial(&self, place: usize) -> Option<u64> {
        let slots = self.slots.as_ref()?;
        match slots.get(place)? {
            Some(slot) => Some(slot.endpoint.record().serial()),
            // A place that was emptied a moment ago for the new list.
            None => Some(self.current.members().get(place)?.record().serial()),
        }
    }

    fn slots(&mut self) -> &mut Vec<Option<Slot>> {
        self.slots.get_or_insert_with(|| {
            let members = self.current.members().iter();
            members
                .zip(self.current.availability())
                .map(|(endpoint, &before)| {
                    Some(Slot {
                        endpoint: Arc::clone(endpoint),
                        before: Some(before),
                    })
                })
                .collect()
        })
    }

    fn endpoints(&self) -> Box<dyn Iterator<Item = &Arc<Endpoint>> + '_> {
        match &self.slots {
            Some(slots) => Box::new(slots.iter().flatten().map(|slot| &slot.endpoint)),
            None => Box::new(self.current.members().iter()),
        }
    }

    /// Makes the verdicts true and says what is to be published; `None` if nothing changed.
    pub(crate) fn finish(mut self) -> Option<Staged> {
        let mut touched = HashSet::new();
        for (place, edit, reason) in mem::take(&mut self.edits) {
            let endpoint = match &self.slots {
                Some(slots) => slots[place].as_ref().map(|slot| &slot.endpoint),
                None => self.current.members().get(place),
            };
            if let Some(event) = endpoint.and_then(|endpoint| make(endpoint, edit, reason)) {
                self.events.push(event);
                touched.insert(place);
            }
        }
        if self.active.as_ref() != self.current.active_group() {
            self.events.push(EventKind::Activated {
                group: self.active.clone(),
            });
            self.slots();
        }
        let generation = self.current.generation() + 1;
        let staged = match self.slots.take() {
            Some(slots) => self.with_members(slots, &touched, generation),
            None => self.with_verdicts(&touched, generation),
        };
        let moved = staged.members.as_ref().is_some_and(MemberChange::moves);
        (!staged.events.is_empty() || moved).then_some(staged)
    }

    fn with_verdicts(self, touched: &HashSet<usize>, generation: u64) -> Staged {
        let (current, layout) = (self.current, self.current.layout());
        let snapshot = current.patched(generation, |place, before| {
            if touched.contains(&place) {
                layout.availability(&current.members()[place])
            } else {
                before
            }
        });
        let leaving = touched
            .iter()
            .filter(|&&place| {
                current.availability()[place].is_in_service()
                    && !snapshot.availability()[place].is_in_service()
            })
            .map(|&place| Arc::clone(&current.members()[place]))
            .collect();
        Staged {
            snapshot,
            leaving,
            events: self.events,
            members: None,
        }
    }

    fn with_members(
        self,
        slots: Vec<Option<Slot>>,
        touched: &HashSet<usize>,
        generation: u64,
    ) -> Staged {
        let current = self.current;
        let switched = self.active.as_ref() != current.active_group();
        let members: Box<[Arc<Endpoint>]> = slots
            .iter()
            .flatten()
            .map(|slot| Arc::clone(&slot.endpoint))
            .collect();
        let layout = Arc::new(Layout::new(generation, self.active, members));

        let mut change = MemberChange {
            places: vec![None; current.members().len()],
            added: Vec::new(),
            departed: Vec::new(),
        };
        let (mut availability, mut leaving) = (Vec::new(), Vec::new());
        let mut kept = vec![false; current.members().len()];
        for (place, slot) in (0..).zip(slots) {
            let Some(Slot { endpoint, before }) = slot else {
                continue;
            };
            let old = self.state.index.get(endpoint.id()).copied();
            let unchanged = old.is_some_and(|old| Arc::ptr_eq(&current.members()[old], &endpoint));
            let after = match before {
                Some(before) if unchanged && !switched && !touched.contains(&place) => before,
                _ => layout.availability(&endpoint),
            };
            let next = availability.len();
            availability.push(after);
            match old {
                Some(old) => {
                    kept[old] = true;
                    change.places[old] = Some(next);
                }
                None => change.added.push((endpoint.id().clone(), next)),
            }
            if before.is_some_and(Availability::is_in_service) && !after.is_in_service() {
                leaving.push(endpoint);
            }
        }
        for (place, endpoint) in current.members().iter().enumerate() {
            if !kept[place] {
                let record = Arc::downgrade(endpoint.record());
                change.departed.push((endpoint.id().clone(), record));
                if current.availability()[place].is_in_service() {
                    leaving.push(Arc::clone(endpoint));
                }
            }
        }
        Staged {
            snapshot: current.relaid(generation, layout, availability.into()),
            leaving,
            events: self.events,
            members: Some(change),
        }
    }
}

/// Makes `edit` true; tells what changed by it, if anything.
fn make(endpoint: &Endpoint, edit: Edit, reason: Reason) -> Option<EventKind> {
    let id = || endpoint.id().clone();
    endpoint.record().with_status(|status| match edit {
        Edit::Drain | Edit::Undrain => {
            let admin = match edit {
                Edit::Drain => Admin::Draining,
                _ => Admin::Active,
            };
            set(&mut status.admin, admin, &reason).then(|| EventKind::Admin {
                endpoint: id(),
                admin,
                reason,
            })
        }
        Edit::Health(health) => {
            set(&mut status.health, health, &reason).then(|| EventKind::Health {
                endpoint: id(),
                health,
                reason,
            })
        }
        Edit::Ejection(ejection) => {
            set(&mut status.ejection, ejection, &reason).then(|| EventKind::Ejection {
                endpoint: id(),
                ejection,
                reason,
            })
        }
    })
}

/// Sets the verdict; tells whether that changed it. One that stays keeps its reason and age.
fn set<T: Copy + PartialEq>(verdict: &mut Verdict<T>, value: T, reason: &Reason) -> bool {
    let changes = verdict.value() != value;
    if changes {
        *verdict = Verdict::new(value, reason.clone());
    }
    changes
}

// === impl MemberChange ===

impl MemberChange {
    /// Whether anybody came, went or has another place.
    fn moves(&self) -> bool {
        let mut places = self.places.iter().enumerate();
        !self.added.is_empty() || places.any(|(old, &new)| new != Some(old))
    }
}

// === impl State ===

impl State {
    /// Follows a change of membership.
    pub(crate) fn follow(&mut self, change: MemberChange) {
        self.index.retain(|_, place| {
            let next = change.places[*place];
            *place = next.unwrap_or(*place);
            next.is_some()
        });
        self.departed.retain(|_, record| record.strong_count() > 0);
        for (id, place) in change.added {
            self.departed.remove(&id);
            self.index.insert(id, place);
        }
        self.departed.extend(change.departed);
    }
}
