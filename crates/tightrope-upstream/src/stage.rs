//! Checks a change step by step and prepares what it leads to, touching nothing until the end.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::Arc,
};

use crate::{
    Change, ChangeError, Endpoint, EndpointId, EndpointSpec, Group, Reason, Record, Snapshot,
    change::{Edit, Step},
    staged::{self, Staged},
    state::State,
};

/// A change on the way to being published.
pub(crate) struct Stage<'a> {
    pub(crate) state: &'a State,
    pub(crate) current: &'a Snapshot,
    /// The newest generation that all followers have reached.
    settled: u64,
    /// The members to be; `None` until a step concerns more than verdicts. Members that go leave
    /// a hole, so that the places of the others stay.
    slots: Option<Vec<Option<Arc<Endpoint>>>>,
    /// Places of members that have none in `state.index`, or another one.
    fresh: HashMap<EndpointId, usize>,
    pub(crate) active: Option<Group>,
    /// On all in flight.
    pub(crate) limit: Option<NonZeroU32>,
    pub(crate) edits: Vec<(Arc<Endpoint>, Edit, Reason)>,
}

// === impl Stage ===

impl<'a> Stage<'a> {
    pub(crate) fn new(state: &'a State, current: &'a Snapshot, settled: u64) -> Self {
        Self {
            state,
            current,
            settled,
            slots: None,
            fresh: HashMap::new(),
            active: current.active_group().cloned(),
            limit: current.max_in_flight(),
            edits: Vec::new(),
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
            Some(group) if self.switches() => {
                let known = self.members().any(|e| e.group() == Some(group));
                known.then_some(()).ok_or_else(|| {
                    let group = group.clone();
                    ChangeError::UnknownGroup { group }
                })
            }
            _ => Ok(()),
        }
    }

    /// Makes the verdicts true and says what is to be published; `None` if nothing changes.
    pub(crate) fn finish(self) -> Option<Staged> {
        staged::finish(self)
    }

    fn step(&mut self, step: Step) -> Result<(), ChangeError> {
        match step {
            Step::Replace(members) => self.replace(members),
            Step::Add(member) => self.add(member),
            Step::Remove(id) => {
                let place = self.place(&id)?;
                self.slots()[place] = None;
                self.fresh.remove(&id);
                Ok(())
            }
            Step::SetWeight(id, weight) => self.change(&id, |spec| spec.weight = weight),
            Step::SetGroup(id, group) => self.change(&id, |spec| spec.group = group),
            Step::SetMetadata(id, metadata) => self.change(&id, |spec| spec.metadata = metadata),
            Step::Activate(group) => {
                self.active = group;
                Ok(())
            }
            Step::Limit(most) => {
                self.limit = most;
                Ok(())
            }
            Step::Edit(id, edit, reason) => {
                let endpoint = self.get(&id)?;
                self.edits.push((endpoint, edit, reason));
                Ok(())
            }
        }
    }

    fn replace(&mut self, members: Vec<EndpointSpec>) -> Result<(), ChangeError> {
        let mut ids = HashSet::with_capacity(members.len());
        if let Some(twice) = members.iter().find(|member| !ids.insert(&member.id)) {
            let id = twice.id.clone();
            return Err(ChangeError::Duplicate { id });
        }
        let mut next = Vec::with_capacity(members.len());
        for member in members {
            let endpoint = match self.get(&member.id) {
                Ok(endpoint) => self.described(member, endpoint.record()),
                Err(_) => self.joined(member),
            };
            next.push(endpoint);
        }
        let ids = next.iter().map(|endpoint| endpoint.id().clone());
        self.fresh = ids.zip(0..).collect();
        self.slots = Some(next.into_iter().map(Some).collect());
        Ok(())
    }

    fn add(&mut self, member: EndpointSpec) -> Result<(), ChangeError> {
        if self.place(&member.id).is_ok() {
            return Err(ChangeError::Duplicate { id: member.id });
        }
        let id = member.id.clone();
        let endpoint = self.joined(member);
        let slots = self.slots();
        slots.push(Some(endpoint));
        let place = slots.len() - 1;
        self.fresh.insert(id, place);
        Ok(())
    }

    fn change(
        &mut self,
        id: &EndpointId,
        change: impl FnOnce(&mut EndpointSpec),
    ) -> Result<(), ChangeError> {
        let place = self.place(id)?;
        let endpoint = self.get(id)?;
        let mut spec = endpoint.spec().clone();
        change(&mut spec);
        let endpoint = self.described(spec, endpoint.record());
        self.slots()[place] = Some(endpoint);
        Ok(())
    }

    /// An endpoint that was not there, with its old record where that still matters.
    fn joined(&mut self, spec: EndpointSpec) -> Arc<Endpoint> {
        // It left in this very change, or in an earlier one.
        let record = match self.state.index.get(&spec.id) {
            Some(&place) => Arc::clone(self.current.members()[place].record()),
            None => self
                .state
                .resumed(&spec.id, self.settled)
                .unwrap_or_else(|| {
                    let epoch = self.current.epoch();
                    let room = Arc::clone(&self.state.room);
                    Arc::new(Record::new(self.state.initial_health, epoch, room))
                }),
        };
        let endpoint = self.described(spec, &record);
        let edit = (Arc::clone(&endpoint), Edit::Undrain, Reason::from("added"));
        self.edits.push(edit);
        endpoint
    }

    /// An endpoint around `record` as `spec` describes it: the one of the current snapshot where
    /// that is the same, so that what differs in the end can be told by its pointer.
    fn described(&self, spec: EndpointSpec, record: &Arc<Record>) -> Arc<Endpoint> {
        let place = self.state.index.get(&spec.id);
        match place.map(|&place| &self.current.members()[place]) {
            Some(current) if *current.spec() == spec => Arc::clone(current),
            _ => Arc::new(Endpoint::new(spec, self.limit, Arc::clone(record))),
        }
    }

    /// The place of a member by what the steps so far left.
    fn place(&self, id: &EndpointId) -> Result<usize, ChangeError> {
        let place = self.fresh.get(id).or_else(|| self.state.index.get(id));
        place
            .copied()
            .filter(|&place| self.at(place).is_some_and(|endpoint| endpoint.id() == id))
            .ok_or_else(|| ChangeError::UnknownEndpoint { id: id.clone() })
    }

    fn at(&self, place: usize) -> Option<&Arc<Endpoint>> {
        match &self.slots {
            Some(slots) => slots.get(place)?.as_ref(),
            None => self.current.members().get(place),
        }
    }

    pub(crate) fn get(&self, id: &EndpointId) -> Result<Arc<Endpoint>, ChangeError> {
        let place = self.place(id)?;
        let unknown = || ChangeError::UnknownEndpoint { id: id.clone() };
        self.at(place).cloned().ok_or_else(unknown)
    }

    fn slots(&mut self) -> &mut Vec<Option<Arc<Endpoint>>> {
        let members = self.current.members();
        self.slots
            .get_or_insert_with(|| members.iter().cloned().map(Some).collect())
    }

    /// The members to be, in order.
    pub(crate) fn members(&self) -> Box<dyn Iterator<Item = &Arc<Endpoint>> + '_> {
        match &self.slots {
            Some(slots) => Box::new(slots.iter().flatten()),
            None => Box::new(self.current.members().iter()),
        }
    }

    /// As [`members`](Self::members), which are to be asked for once.
    pub(crate) fn take_members(&mut self) -> Box<[Arc<Endpoint>]> {
        match self.slots.take() {
            Some(slots) => slots.into_iter().flatten().collect(),
            None => self.current.members().into(),
        }
    }

    /// Whether the traffic goes to another group than before.
    pub(crate) fn switches(&self) -> bool {
        self.active.as_ref() != self.current.active_group()
    }

    /// Whether there is another limit on all than before.
    pub(crate) fn limits(&self) -> bool {
        self.limit != self.current.max_in_flight()
    }

    /// Lets all members know of the limit.
    pub(crate) fn relimit(&mut self) {
        if self.slots.is_none() && !self.limits() {
            return;
        }
        let limit = self.limit;
        for endpoint in self.slots().iter_mut().flatten() {
            if !endpoint.is_limited_by(limit) {
                *endpoint = Arc::new(endpoint.with_limit(limit));
            }
        }
    }

    /// Whether a member came, went, moved or is described differently.
    pub(crate) fn differs(&self) -> bool {
        self.slots.is_some()
            && !self
                .members()
                .map(Arc::as_ptr)
                .eq(self.current.members().iter().map(Arc::as_ptr))
    }
}
