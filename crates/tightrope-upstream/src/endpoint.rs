//! One address in an upstream.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, sync::Arc};

use crate::{Address, EndpointId, Group, Outcome, Pick, Record, Refusal, Weight, places::Taken};

/// What is configured of an endpoint: everything but its live state.
///
/// ```
/// use tightrope_upstream::{Address, EndpointSpec, Group, Weight};
///
/// let address: Address = "10.0.0.1:8080".parse()?;
/// let spec = EndpointSpec::new(address)
///     .with_weight(Weight::new(5)?)
///     .with_group(Group::new("blue")?);
/// assert_eq!(spec.id.as_str(), "10.0.0.1:8080");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointSpec {
    /// What its live state is kept under; default: the text of the address.
    pub id: EndpointId,
    /// Where it is reached.
    pub address: Address,
    /// Its share of the traffic; default 1.
    pub weight: Weight,
    /// The part of the upstream it belongs to; default none.
    pub group: Option<Group>,
    /// Whether it stands in for others: 0 goes first, which is the default.
    pub priority: u8,
    /// The most attempts in flight on it; default none: as many as come.
    pub max_in_flight: Option<NonZeroU32>,
    /// Whatever else the user wants to know of it; default empty.
    pub metadata: Metadata,
}

/// Labels of an endpoint, such as its zone or version. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Arc<BTreeMap<String, String>>);

/// One address in an upstream: what is configured of it, and the record of its live state.
///
/// An update that changes weight, group or metadata makes a new `Endpoint` around the same
/// [`Record`], so a snapshot never changes under its reader and no count is ever lost.
pub struct Endpoint {
    spec: EndpointSpec,
    limits: Limits,
    /// Whether there is any: one byte to look at for a pick, and for its end.
    is_limited: bool,
    record: Arc<Record>,
}

/// How many attempts may be in flight; 0 is as many as come.
#[derive(Clone, Copy)]
struct Limits {
    own: u32,
    /// Of all members of the upstream together.
    all: u32,
}

// === impl EndpointSpec ===

impl EndpointSpec {
    /// An endpoint at `address`, known by the text of it.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            id: EndpointId::from(&address),
            address,
            weight: Weight::default(),
            group: None,
            priority: 0,
            max_in_flight: None,
            metadata: Metadata::default(),
        }
    }

    /// Known by `id` instead.
    #[must_use]
    pub fn with_id(mut self, id: EndpointId) -> Self {
        self.id = id;
        self
    }

    /// With this share of the traffic.
    #[must_use]
    pub fn with_weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// In this part of the upstream.
    #[must_use]
    pub fn with_group(mut self, group: Group) -> Self {
        self.group = Some(group);
        self
    }

    /// With this priority: endpoints of a higher number stand in for those of lower ones, for a
    /// strategy that looks at it, such as `Priorities` of `tightrope-balance`.
    #[must_use]
    pub const fn with_priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// With at most so many attempts in flight; nginx's `max_conns`, `HAProxy`'s `maxconn`.
    ///
    /// Who has as many is full, which is no sickness: a balancer sends the next request elsewhere,
    /// or lets it wait. Attempts beyond a new limit end undisturbed.
    #[must_use]
    pub const fn with_max_in_flight(mut self, most: NonZeroU32) -> Self {
        self.max_in_flight = Some(most);
        self
    }

    /// With these labels.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }
}

// === impl Metadata ===

impl Metadata {
    /// The value of the label `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All labels, ordered by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let labels = labels.into_iter().map(|(k, v)| (k.into(), v.into()));
        Self(Arc::new(labels.collect()))
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// `limit`: on all members of the upstream together.
    pub(crate) fn new(spec: EndpointSpec, limit: Option<NonZeroU32>, record: Arc<Record>) -> Self {
        let limits = Limits {
            own: spec.max_in_flight.map_or(0, NonZeroU32::get),
            all: limit.map_or(0, NonZeroU32::get),
        };
        Self {
            spec,
            limits,
            is_limited: limits.own > 0 || limits.all > 0,
            record,
        }
    }

    pub(crate) fn is_limited_by(&self, limit: Option<NonZeroU32>) -> bool {
        self.limits.all == limit.map_or(0, NonZeroU32::get)
    }

    pub(crate) fn with_limit(&self, limit: Option<NonZeroU32>) -> Self {
        Self::new(self.spec.clone(), limit, Arc::clone(&self.record))
    }

    /// The same endpoint seen with another weight.
    pub(crate) fn with_weight(&self, weight: Weight) -> Self {
        Self {
            spec: self.spec.clone().with_weight(weight),
            limits: self.limits,
            is_limited: self.is_limited,
            record: Arc::clone(&self.record),
        }
    }

    /// Whether both are the same member, however it is described.
    pub(crate) fn is_same(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, other) || Arc::ptr_eq(&self.record, &other.record)
    }

    /// What is configured of it.
    #[must_use]
    pub const fn spec(&self) -> &EndpointSpec {
        &self.spec
    }

    /// What its live state is kept under.
    #[must_use]
    pub const fn id(&self) -> &EndpointId {
        &self.spec.id
    }

    /// Where it is reached.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.spec.address
    }

    /// Its share of the traffic.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.spec.weight
    }

    /// The part of the upstream it belongs to.
    #[must_use]
    pub const fn group(&self) -> Option<&Group> {
        self.spec.group.as_ref()
    }

    /// Its labels.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.spec.metadata
    }

    /// Its live state.
    #[must_use]
    pub const fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Takes one place in flight, for a picker's choice.
    ///
    /// Choose from what a follower is given. [`Upstream::snapshot`](crate::Upstream::snapshot) may
    /// be ahead of it, and an endpoint that it puts into service is not open before the update is
    /// [applied](crate::Update::applied).
    ///
    /// # Errors
    /// There is no place to be had, for one of the reasons in [`Refusal`].
    #[inline]
    pub fn pick(self: &Arc<Self>) -> Result<Pick, Refusal> {
        if self.is_limited() {
            return self.pick_within();
        }
        match self.record.acquire() {
            Taken::Yes => Ok(Pick::new(Arc::clone(self))),
            Taken::Closed => Err(Refusal::Closed),
            Taken::Full => Err(Refusal::Full),
        }
    }

    /// Whether there is a limit on its attempts in flight, its own or one on all members. A pick takes a
    /// little longer then.
    #[inline]
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.is_limited
    }

    #[inline(never)]
    fn pick_within(self: &Arc<Self>) -> Result<Pick, Refusal> {
        let Limits { own, all } = self.limits;
        let room = self.record.room();
        if all > 0 && room.take_within(all as usize) != Taken::Yes {
            return Err(Refusal::UpstreamFull);
        }
        let most = if own > 0 { own as usize } else { usize::MAX };
        let refusal = match self.record.acquire_within(most) {
            Taken::Yes => return Ok(Pick::new(Arc::clone(self))),
            Taken::Closed => Refusal::Closed,
            Taken::Full => Refusal::Full,
        };
        if all > 0 {
            room.give_back();
        }
        Err(refusal)
    }

    /// Whether it has fewer attempts in flight than it may have, by its own limit and while it is
    /// on trial.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let own = self.limits.own as usize;
        self.record.has_room(if own > 0 { own } else { usize::MAX })
    }

    /// Gives the place of an attempt back that ended.
    #[inline]
    pub(crate) fn release(&self, outcome: Outcome) {
        self.record.release(outcome);
        if self.is_limited {
            self.give_back();
        }
    }

    #[inline(never)]
    fn give_back(&self) {
        if self.limits.all > 0 {
            self.record.room().give_back();
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("spec", &self.spec)
            .field("record", &self.record)
            .finish()
    }
}
