//! A transaction on an upstream.

use std::num::NonZeroU32;

use crate::{Ejection, EndpointId, EndpointSpec, Group, Health, Metadata, Reason, Weight};

/// A transaction: several changes that are published together, or not at all.
///
/// The changes are checked and made in the order in which they were added, each against what the
/// ones before it left; whether the active group has members is checked at the end. A member that is
/// removed and added in one change keeps its live state. Given to [`Upstream::apply`](crate::Upstream::apply).
///
/// ```
/// use tightrope_upstream::{Change, EndpointSpec, Group, Upstream};
///
/// let upstream = Upstream::new("api");
/// let (blue, green) = (Group::new("blue")?, Group::new("green")?);
/// upstream.apply(
///     Change::new()
///         .add(EndpointSpec::new("127.0.0.1:8081".parse()?).with_group(blue.clone()))
///         .add(EndpointSpec::new("127.0.0.1:8082".parse()?).with_group(green))
///         .activate(blue),
/// )?;
/// assert_eq!(upstream.snapshot().available(), [0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a change does nothing until it is applied"]
pub struct Change {
    pub(crate) steps: Vec<Step>,
    pub(crate) if_generation: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Replace(Vec<EndpointSpec>),
    Add(EndpointSpec),
    Remove(EndpointId),
    SetWeight(EndpointId, Weight),
    SetGroup(EndpointId, Option<Group>),
    SetMetadata(EndpointId, Metadata),
    Activate(Option<Group>),
    Limit(Option<NonZeroU32>),
    Edit(EndpointId, Edit, Reason),
}

/// A change of one verdict.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Edit {
    Drain,
    Undrain,
    Health(Health),
    Ejection(Ejection),
}

impl Change {
    /// No change yet.
    pub const fn new() -> Self {
        Self {
            steps: Vec::new(),
            if_generation: None,
        }
    }

    fn with(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Only if the upstream is still at this generation when the change is applied: refuses to
    /// overwrite what somebody else changed in between.
    pub const fn if_generation(mut self, generation: u64) -> Self {
        self.if_generation = Some(generation);
        self
    }

    /// Makes the members exactly these, in this order.
    ///
    /// Endpoints that keep their id keep their live state and their administrative state; others
    /// join as with [`add`](Self::add). The active group stays, even without members.
    pub fn replace(self, members: impl IntoIterator<Item = EndpointSpec>) -> Self {
        self.with(Step::Replace(members.into_iter().collect()))
    }

    /// Adds a member at the end. Its administrative state is active, even where it was removed
    /// while draining and comes back with its record. Its other verdicts come back with it.
    #[expect(
        clippy::should_implement_trait,
        reason = "nobody adds a member to a change with `+`"
    )]
    pub fn add(self, member: EndpointSpec) -> Self {
        self.with(Step::Add(member))
    }

    /// Takes a member out. What it has in flight ends undisturbed.
    pub fn remove(self, id: EndpointId) -> Self {
        self.with(Step::Remove(id))
    }

    /// Changes a member's share of the traffic.
    pub fn set_weight(self, id: EndpointId, weight: Weight) -> Self {
        self.with(Step::SetWeight(id, weight))
    }

    /// Moves a member to a group, or to none.
    pub fn set_group(self, id: EndpointId, group: Option<Group>) -> Self {
        self.with(Step::SetGroup(id, group))
    }

    /// Changes a member's labels.
    pub fn set_metadata(self, id: EndpointId, metadata: Metadata) -> Self {
        self.with(Step::SetMetadata(id, metadata))
    }

    /// Gives all traffic to one group. The others stand by: they keep their members and their
    /// state and get no new picks.
    pub fn activate(self, group: Group) -> Self {
        self.with(Step::Activate(Some(group)))
    }

    /// Gives the traffic to all members, whatever their group.
    pub fn activate_all(self) -> Self {
        self.with(Step::Activate(None))
    }

    /// Has at most so many attempts in flight on all members together; none: as many as come.
    /// Default: none.
    ///
    /// Counted are attempts that were picked since there was a limit. Where there are more than a new
    /// limit allows they end undisturbed. See [`EndpointSpec::with_max_in_flight`] for a limit on one.
    pub fn limit_in_flight(self, most: Option<NonZeroU32>) -> Self {
        self.with(Step::Limit(most))
    }

    /// Gives a member no new picks, and keeps it.
    pub fn drain(self, id: EndpointId, reason: impl Into<Reason>) -> Self {
        self.with(Step::Edit(id, Edit::Drain, reason.into()))
    }

    /// Puts a drained member back into service.
    pub fn undrain(self, id: EndpointId, reason: impl Into<Reason>) -> Self {
        self.with(Step::Edit(id, Edit::Undrain, reason.into()))
    }

    /// Records the verdict of probes.
    pub fn set_health(self, id: EndpointId, health: Health, reason: impl Into<Reason>) -> Self {
        self.with(Step::Edit(id, Edit::Health(health), reason.into()))
    }

    /// Records that live traffic tells against a member.
    pub fn eject(self, id: EndpointId, reason: impl Into<Reason>) -> Self {
        self.with(Step::Edit(
            id,
            Edit::Ejection(Ejection::Ejected),
            reason.into(),
        ))
    }

    /// Lets one attempt at a time reach a member that was ejected, until
    /// [`restore`](Self::restore) or [`eject`](Self::eject) decides: half-open.
    pub fn try_out(self, id: EndpointId, reason: impl Into<Reason>) -> Self {
        self.with(Step::Edit(
            id,
            Edit::Ejection(Ejection::OnTrial),
            reason.into(),
        ))
    }

    /// Ends an ejection, or a trial after one.
    pub fn restore(self, id: EndpointId, reason: impl Into<Reason>) -> Self {
        self.with(Step::Edit(id, Edit::Ejection(Ejection::In), reason.into()))
    }
}
