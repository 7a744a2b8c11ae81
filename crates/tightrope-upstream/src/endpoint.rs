//! One address in an upstream.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::{Address, EndpointId, Group, Pick, Record, Weight, record::Acquired};

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
    record: Arc<Record>,
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
    pub(crate) const fn new(spec: EndpointSpec, record: Arc<Record>) -> Self {
        Self { spec, record }
    }

    /// The same endpoint seen with another weight.
    pub(crate) fn with_weight(&self, weight: Weight) -> Self {
        let spec = self.spec.clone().with_weight(weight);
        Self::new(spec, Arc::clone(&self.record))
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
    /// `None` means that an update took the endpoint out of service after the snapshot that it was
    /// chosen from; by then every [`Follower`](crate::Follower) was given a newer one: read that and
    /// choose again. This is what makes "no new request after the update was applied" exact.
    ///
    /// Choose from what a follower is given. [`Upstream::snapshot`](crate::Upstream::snapshot) may
    /// be ahead of it, and an endpoint that it puts into service is not open before the update is
    /// [applied](crate::Update::applied).
    #[inline]
    #[must_use]
    pub fn pick(self: &Arc<Self>) -> Option<Pick> {
        match self.record.acquire() {
            Acquired::Open => Some(Pick::new(Arc::clone(self))),
            Acquired::Closed => None,
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
