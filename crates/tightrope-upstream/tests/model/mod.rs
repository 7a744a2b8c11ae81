//! A slow and simple upstream, and the rules by which the real one is compared with it.
//!
//! Bytes are read as a sequence of changes, picks and drops; shared by the property test and the
//! fuzz target `upstream_update`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::HashMap,
    fmt::Debug,
    pin::pin,
    sync::{Arc, Mutex, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tightrope_upstream::{
    Admin, Availability, Change, ChangeError, Ejection, Endpoint, EndpointId, EndpointSpec, Event,
    EventKind, Events, Failure, Follower, Group, Health, Metadata, Outcome, Pick, Snapshot, Totals,
    Update, Upstream, Weight,
};

const IDS: u8 = 5;

/// Carries out what `data` says on an [`Upstream`] and on the model.
///
/// # Panics
/// They differ.
pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let health = match bytes.below(2) {
        Some(1) => Health::Unhealthy,
        _ => Health::Healthy,
    };
    let mut both = Both::new(health);
    while let Some(op) = Op::read(&mut bytes) {
        both.step(&op);
        both.compare(&op);
    }
    both.picks.clear();
    both.drop_all();
}

// === What is done ===

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn below(&mut self, end: u8) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first % end)
    }
}

#[derive(Debug)]
enum Op {
    Apply(Vec<Step>, Option<Expected>),
    Pick { snapshot: u8, member: u8 },
    Drop { pick: u8, outcome: u8 },
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Current,
    Other,
}

#[derive(Debug)]
enum Step {
    Replace(Vec<Spec>),
    Add(Spec),
    Remove(u8),
    Weight(u8, u8),
    Group(u8, u8),
    Label(u8, u8),
    Activate(u8),
    Admin(u8, Admin),
    Health(u8, Health),
    Ejection(u8, Ejection),
}

#[derive(Clone, Debug, PartialEq)]
struct Spec {
    id: u8,
    weight: u8,
    /// 0 is none.
    group: u8,
    label: u8,
}

impl Op {
    fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        Some(match bytes.below(8)? {
            0 | 1 => Self::Pick {
                snapshot: bytes.below(255)?,
                member: bytes.below(255)?,
            },
            2 => Self::Drop {
                pick: bytes.below(255)?,
                outcome: bytes.below(4)?,
            },
            _ => {
                let expected = match bytes.below(16)? {
                    0 => Some(Expected::Other),
                    1 => Some(Expected::Current),
                    _ => None,
                };
                let mut steps = Vec::new();
                for _ in 0..=bytes.below(5)? {
                    steps.push(Step::read(bytes)?);
                }
                Self::Apply(steps, expected)
            }
        })
    }
}

impl Step {
    fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        Some(match bytes.below(16)? {
            0 | 1 => {
                let mut members = Vec::new();
                for _ in 0..bytes.below(6)? {
                    members.push(Spec::read(bytes)?);
                }
                Self::Replace(members)
            }
            2..=4 => Self::Add(Spec::read(bytes)?),
            5 | 6 => Self::Remove(bytes.below(IDS)?),
            7 => Self::Weight(bytes.below(IDS)?, bytes.below(3)?),
            8 => Self::Group(bytes.below(IDS)?, bytes.below(4)?),
            9 => Self::Label(bytes.below(IDS)?, bytes.below(2)?),
            10 => Self::Activate(bytes.below(4)?),
            11 => Self::Admin(bytes.below(IDS)?, Admin::Draining),
            12 => Self::Admin(bytes.below(IDS)?, Admin::Active),
            13 => Self::Health(bytes.below(IDS)?, Health::Unhealthy),
            14 => Self::Health(bytes.below(IDS)?, Health::Healthy),
            _ => {
                let ejection = [Ejection::Ejected, Ejection::In];
                let id = bytes.below(IDS)?;
                Self::Ejection(id, ejection[usize::from(bytes.below(2)?)])
            }
        })
    }

    fn put(&self, change: Change) -> Change {
        match self {
            Self::Replace(members) => change.replace(members.iter().map(Spec::real)),
            Self::Add(member) => change.add(member.real()),
            &Self::Remove(id) => change.remove(endpoint_id(id)),
            &Self::Weight(id, weight) => {
                change.set_weight(endpoint_id(id), u16::from(weight).into())
            }
            &Self::Group(id, group) => change.set_group(endpoint_id(id), group_name(group)),
            &Self::Label(id, label) => change.set_metadata(endpoint_id(id), metadata(label)),
            &Self::Activate(group) => match group_name(group) {
                Some(group) => change.activate(group),
                None => change.activate_all(),
            },
            &Self::Admin(id, Admin::Draining) => change.drain(endpoint_id(id), "model"),
            &Self::Admin(id, _) => change.undrain(endpoint_id(id), "model"),
            &Self::Health(id, health) => change.set_health(endpoint_id(id), health, "model"),
            &Self::Ejection(id, Ejection::Ejected) => change.eject(endpoint_id(id), "model"),
            &Self::Ejection(id, _) => change.restore(endpoint_id(id), "model"),
        }
    }
}

impl Spec {
    fn read(bytes: &mut Bytes<'_>) -> Option<Self> {
        Some(Self {
            id: bytes.below(IDS)?,
            weight: bytes.below(3)?,
            group: bytes.below(3)?,
            label: 0,
        })
    }

    fn real(&self) -> EndpointSpec {
        let address = format!("10.0.0.{}:80", self.id + 1).parse().unwrap();
        let mut spec = EndpointSpec::new(address)
            .with_id(endpoint_id(self.id))
            .with_weight(Weight::from(u16::from(self.weight)))
            .with_metadata(metadata(self.label));
        spec.group = group_name(self.group);
        spec
    }
}

fn endpoint_id(id: u8) -> EndpointId {
    EndpointId::new(&format!("e{id}")).unwrap()
}

fn group_name(group: u8) -> Option<Group> {
    (group > 0).then(|| Group::new(&format!("g{group}")).unwrap())
}

fn metadata(label: u8) -> Metadata {
    match label {
        0 => Metadata::default(),
        label => [("label", label.to_string())].into_iter().collect(),
    }
}

// === The model ===

#[derive(Clone, Debug)]
struct Model {
    initial_health: Health,
    generation: u64,
    layout_generation: u64,
    /// 0 is everybody.
    active: u8,
    members: Vec<(Spec, usize)>,
    records: Vec<Record>,
    /// Who left last under an id.
    departed: HashMap<u8, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    admin: Admin,
    health: Health,
    ejection: Ejection,
    in_flight: usize,
    totals: [u64; 3],
}

#[derive(Debug, Default)]
struct Published {
    events: Vec<EventKind>,
    /// Ids and records.
    leaving: Vec<(u8, usize)>,
}

impl Model {
    fn new(initial_health: Health) -> Self {
        Self {
            initial_health,
            generation: 0,
            layout_generation: 0,
            active: 0,
            members: Vec::new(),
            records: Vec::new(),
            departed: HashMap::new(),
        }
    }

    fn availability(&self, (spec, record): &(Spec, usize)) -> Availability {
        let record = &self.records[*record];
        if self.active != 0 && spec.group != self.active {
            Availability::Standby
        } else if record.admin == Admin::Draining {
            Availability::Draining
        } else if spec.weight == 0 {
            Availability::Unweighted
        } else if record.health == Health::Unhealthy {
            Availability::Unhealthy
        } else if record.ejection == Ejection::Ejected {
            Availability::Ejected
        } else {
            Availability::Available
        }
    }

    fn in_service(&self, member: &(Spec, usize)) -> bool {
        self.availability(member).is_in_service()
    }

    fn is_open(&self, record: usize) -> bool {
        let mut members = self.members.iter();
        members.any(|member| member.1 == record && self.in_service(member))
    }

    fn find(&self, id: u8) -> Option<usize> {
        self.members.iter().position(|(spec, _)| spec.id == id)
    }

    fn known(&mut self, id: u8) -> Result<&mut (Spec, usize), ChangeError> {
        match self.find(id) {
            Some(place) => Ok(&mut self.members[place]),
            None => Err(ChangeError::UnknownEndpoint {
                id: endpoint_id(id),
            }),
        }
    }

    /// The whole of a change, one step after the other on a copy.
    fn apply(
        &self,
        steps: &[Step],
        expected: Option<u64>,
    ) -> Result<(Self, Published), ChangeError> {
        let current = self.generation;
        if let Some(expected) = expected.filter(|&expected| expected != current) {
            return Err(ChangeError::Stale { expected, current });
        }
        let mut next = self.clone();
        let mut verdicts = Vec::new();
        for step in steps {
            next.take(step, self, &mut verdicts)?;
        }
        let switched = next.active != self.active;
        if switched
            && next.active != 0
            && !next
                .members
                .iter()
                .any(|(spec, _)| spec.group == next.active)
        {
            let group = group_name(next.active).unwrap();
            return Err(ChangeError::UnknownGroup { group });
        }
        let published = next.difference(self, verdicts);
        Ok((next, published))
    }

    /// The record that `id` joins with.
    fn joined(&mut self, id: u8, before: &Self, verdicts: &mut Vec<(usize, EventKind)>) -> usize {
        let departed = self.departed.get(&id).copied();
        let departed = departed.filter(|&record| self.records[record].in_flight > 0);
        let old = before.find(id).map(|place| before.members[place].1);
        let record = old.or(departed).unwrap_or_else(|| {
            self.records.push(Record {
                admin: Admin::Active,
                health: self.initial_health,
                ejection: Ejection::In,
                in_flight: 0,
                totals: [0; 3],
            });
            self.records.len() - 1
        });
        if self.records[record].admin != Admin::Active {
            self.records[record].admin = Admin::Active;
            let event = EventKind::Admin {
                endpoint: endpoint_id(id),
                admin: Admin::Active,
                reason: "added".into(),
            };
            verdicts.push((record, event));
        }
        record
    }

    fn take(
        &mut self,
        step: &Step,
        before: &Self,
        verdicts: &mut Vec<(usize, EventKind)>,
    ) -> Result<(), ChangeError> {
        let reason = || "model".into();
        match step {
            Step::Replace(members) => {
                let mut next: Vec<(Spec, usize)> = Vec::new();
                for spec in members {
                    if next.iter().any(|(other, _)| other.id == spec.id) {
                        let id = endpoint_id(spec.id);
                        return Err(ChangeError::Duplicate { id });
                    }
                    next.push((spec.clone(), usize::MAX));
                }
                for (spec, record) in &mut next {
                    *record = match self.find(spec.id) {
                        Some(place) => self.members[place].1,
                        None => self.joined(spec.id, before, verdicts),
                    };
                }
                self.members = next;
            }
            Step::Add(spec) => {
                if self.find(spec.id).is_some() {
                    let id = endpoint_id(spec.id);
                    return Err(ChangeError::Duplicate { id });
                }
                let record = self.joined(spec.id, before, verdicts);
                self.members.push((spec.clone(), record));
            }
            &Step::Remove(id) => {
                self.known(id)?;
                self.members.retain(|(spec, _)| spec.id != id);
            }
            &Step::Weight(id, weight) => self.known(id)?.0.weight = weight,
            &Step::Group(id, group) => self.known(id)?.0.group = group,
            &Step::Label(id, label) => self.known(id)?.0.label = label,
            &Step::Activate(group) => self.active = group,
            &Step::Admin(id, admin) => {
                let record = self.known(id)?.1;
                if self.records[record].admin != admin {
                    self.records[record].admin = admin;
                    let (endpoint, reason) = (endpoint_id(id), reason());
                    let event = EventKind::Admin {
                        endpoint,
                        admin,
                        reason,
                    };
                    verdicts.push((record, event));
                }
            }
            &Step::Health(id, health) => {
                let record = self.known(id)?.1;
                if self.records[record].health != health {
                    self.records[record].health = health;
                    let (endpoint, reason) = (endpoint_id(id), reason());
                    let event = EventKind::Health {
                        endpoint,
                        health,
                        reason,
                    };
                    verdicts.push((record, event));
                }
            }
            &Step::Ejection(id, ejection) => {
                let record = self.known(id)?.1;
                if self.records[record].ejection != ejection {
                    self.records[record].ejection = ejection;
                    let (endpoint, reason) = (endpoint_id(id), reason());
                    let event = EventKind::Ejection {
                        endpoint,
                        ejection,
                        reason,
                    };
                    verdicts.push((record, event));
                }
            }
        }
        Ok(())
    }

    /// What observers are told, from the lists before and after alone; sets the generations.
    fn difference(&mut self, before: &Self, verdicts: Vec<(usize, EventKind)>) -> Published {
        let mut published = Published::default();
        for member in &self.members {
            let endpoint = endpoint_id(member.0.id);
            match before.find(member.0.id).map(|place| &before.members[place]) {
                None => published.events.push(EventKind::Added { endpoint }),
                Some(was) => {
                    if was.0 != member.0 {
                        published.events.push(EventKind::Changed { endpoint });
                    }
                    if before.in_service(was) && !self.in_service(member) {
                        published.leaving.push((member.0.id, member.1));
                    }
                }
            }
        }
        for was in &before.members {
            if self.find(was.0.id).is_none() {
                let endpoint = endpoint_id(was.0.id);
                published.events.push(EventKind::Removed { endpoint });
                self.departed.insert(was.0.id, was.1);
                if before.in_service(was) {
                    published.leaving.push((was.0.id, was.1));
                }
            }
        }
        let stayed = |record| self.members.iter().any(|member| member.1 == record);
        let verdicts = verdicts.into_iter().filter(|(record, _)| stayed(*record));
        published.events.extend(verdicts.map(|(_, event)| event));
        let switched = self.active != before.active;
        if switched {
            let group = group_name(self.active);
            published.events.push(EventKind::Activated { group });
        }
        let relaid = switched || self.members != before.members;
        if relaid || !published.events.is_empty() {
            self.generation += 1;
        }
        if relaid {
            self.layout_generation = self.generation;
        }
        published
    }
}

// === Both ===

struct Both {
    model: Model,
    upstream: Upstream,
    events: Events,
    follower: Arc<Latest>,
    snapshots: Vec<Arc<Snapshot>>,
    picks: Vec<(Pick, usize)>,
    updates: Vec<(Update, Vec<(u8, usize)>)>,
    /// The model's record for the serial of a real one.
    records: HashMap<u64, usize>,
    /// An endpoint of every record that was ever seen.
    seen: HashMap<usize, Arc<Endpoint>>,
}

/// Keeps what it is given, and insists on the order.
#[derive(Default)]
struct Latest(Mutex<Option<Arc<Snapshot>>>);

impl Follower for Latest {
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        let before = self.0.lock().unwrap().replace(Arc::clone(snapshot));
        assert!(before.is_none_or(|before| before.generation() < snapshot.generation()));
    }
}

impl Both {
    fn new(health: Health) -> Self {
        let upstream = Upstream::with_initial_health("model", health);
        let follower = Arc::new(Latest::default());
        let weak: Weak<Latest> = Arc::downgrade(&follower);
        upstream.follow(weak);
        Self {
            model: Model::new(health),
            events: upstream.events(),
            snapshots: vec![upstream.snapshot()],
            upstream,
            follower,
            picks: Vec::new(),
            updates: Vec::new(),
            records: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Apply(steps, expected) => {
                let expected = expected.map(|expected| match expected {
                    Expected::Current => self.model.generation,
                    Expected::Other => self.model.generation + 1,
                });
                self.apply(op, steps, expected);
            }
            &Op::Pick { snapshot, member } => {
                let snapshot = &self.snapshots[usize::from(snapshot) % self.snapshots.len()];
                let members = snapshot.members();
                if members.is_empty() {
                    return;
                }
                let endpoint = &members[usize::from(member) % members.len()];
                let record = self.records[&endpoint.record().serial()];
                let pick = endpoint.pick();
                assert_eq!(pick.is_ok(), self.model.is_open(record), "{op:?}");
                if let Ok(pick) = pick {
                    self.model.records[record].in_flight += 1;
                    self.picks.push((pick, record));
                }
            }
            &Op::Drop { pick, outcome } => {
                if self.picks.is_empty() {
                    return;
                }
                let place = usize::from(pick) % self.picks.len();
                let (mut pick, record) = self.picks.swap_remove(place);
                let record = &mut self.model.records[record];
                record.in_flight -= 1;
                let total = match outcome {
                    0 => {
                        pick.set_outcome(Outcome::Success);
                        0
                    }
                    1 => {
                        pick.set_outcome(Outcome::Failure(Failure::Reset));
                        1
                    }
                    _ => 2,
                };
                record.totals[total] += 1;
            }
        }
    }

    fn apply(&mut self, op: &Op, steps: &[Step], expected: Option<u64>) {
        let mut change = Change::new();
        if let Some(expected) = expected {
            change = change.if_generation(expected);
        }
        change = steps.iter().fold(change, |change, step| step.put(change));
        let (real, model) = (
            self.upstream.apply(change),
            self.model.apply(steps, expected),
        );
        let mut told = Vec::new();
        while let Some(Ok(Some(event))) = now(self.events.next()) {
            told.push(event);
        }
        match (real, model) {
            (Err(real), Err(model)) => {
                assert_eq!(real, model, "{op:?}");
                assert_eq!(told, [], "{op:?}");
            }
            (Ok(update), Ok((next, published))) => {
                let published_anything = next.generation != self.model.generation;
                self.model = next;
                assert_eq!(update.generation(), self.model.generation, "{op:?}");
                assert!(update.is_applied());
                let events = told.into_iter().map(
                    |Event {
                         generation, kind, ..
                     }| {
                        assert_eq!(generation, self.model.generation);
                        kind
                    },
                );
                assert_eq!(events.collect::<Vec<_>>(), published.events, "{op:?}");
                let snapshot = self.upstream.snapshot();
                for (real, (_, record)) in snapshot.members().iter().zip(&self.model.members) {
                    let serial = real.record().serial();
                    let known = *self.records.entry(serial).or_insert(*record);
                    assert_eq!(known, *record, "{op:?}");
                    self.seen.entry(known).or_insert_with(|| Arc::clone(real));
                }
                let leaving = update.leaving().iter();
                let leaving = leaving.map(|e| (e.id().clone(), self.records[&e.record().serial()]));
                let expected = published.leaving.iter();
                let expected = expected.map(|&(id, record)| (endpoint_id(id), record));
                assert!(leaving.eq(expected), "{op:?} {:?}", published.leaving);
                if published_anything {
                    self.snapshots.push(snapshot);
                    self.updates.push((update, published.leaving));
                }
            }
            (real, model) => panic!("{op:?}: {real:?} but {:?}", model.map(|_| ())),
        }
    }

    /// Whether everything that can be seen of both is the same.
    fn compare(&self, op: &Op) {
        let (model, snapshot) = (&self.model, self.upstream.snapshot());
        let same = |what: &str, real: &dyn Debug, model: &dyn Debug| {
            assert_eq!(
                format!("{real:?}"),
                format!("{model:?}"),
                "{what} after {op:?}"
            );
        };
        same("generation", &snapshot.generation(), &model.generation);
        let layout_generation = snapshot.layout_generation();
        same("layout", &layout_generation, &model.layout_generation);
        same(
            "group",
            &snapshot.active_group(),
            &group_name(model.active).as_ref(),
        );
        let followed = self.follower.0.lock().unwrap().clone().unwrap();
        assert!(Arc::ptr_eq(&followed, &snapshot), "{op:?}");

        let specs: Vec<_> = snapshot
            .members()
            .iter()
            .map(|e| e.spec().clone())
            .collect();
        let expected: Vec<_> = model.members.iter().map(|(spec, _)| spec.real()).collect();
        assert_eq!(specs, expected, "{op:?}");
        let expected = model
            .members
            .iter()
            .map(|member| model.availability(member));
        let expected: Vec<_> = expected.collect();
        assert_eq!(snapshot.availability(), expected, "{op:?}");
        let places = |of: &dyn Fn(Availability) -> bool| {
            let places = (0_u32..).zip(&expected).filter(|(_, a)| of(**a));
            places.map(|(place, _)| place).collect::<Vec<_>>()
        };
        assert_eq!(snapshot.available(), places(&Availability::is_available));
        assert_eq!(
            snapshot.candidates(),
            places(&|a| a != Availability::Standby)
        );
        let sick = snapshot.ignoring_health();
        assert_eq!(sick.available(), places(&Availability::is_in_service));
        for id in 0..IDS {
            let found = snapshot
                .get(&endpoint_id(id))
                .map(|(e, a)| (e.id().clone(), a));
            let known = model
                .find(id)
                .map(|place| (endpoint_id(id), expected[place]));
            assert_eq!(found, known);
        }
        for (&record, endpoint) in &self.seen {
            let (real, model) = (endpoint.record(), &model.records[record]);
            same("in flight", &real.in_flight(), &model.in_flight);
            let Totals {
                succeeded,
                failed,
                cancelled,
                ..
            } = real.totals();
            same("totals", &[succeeded, failed, cancelled], &model.totals);
            let status = real.status();
            same("admin", &status.admin.value(), &model.admin);
            same("health", &status.health.value(), &model.health);
            same("ejection", &status.ejection.value(), &model.ejection);
        }
        for (update, leaving) in &self.updates {
            let open = |&&(_, record): &&(u8, usize)| model.is_open(record);
            let idle = |&(_, record): &(u8, usize)| model.records[record].in_flight == 0;
            let report = now(update.drained(Duration::MAX));
            let ends = leaving.iter().all(|left| open(&left) || idle(left));
            assert_eq!(report.is_some(), ends, "{op:?}");
            if let Some(report) = report {
                assert!(report.is_complete());
                let resumed = leaving.iter().filter(open).map(|&(id, _)| endpoint_id(id));
                assert_eq!(report.resumed, resumed.collect::<Vec<_>>(), "{op:?}");
            }
        }
    }

    fn drop_all(self) {
        for endpoint in self.seen.values() {
            assert_eq!(endpoint.record().in_flight(), 0);
        }
    }
}

/// What the future gives without waiting.
fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
