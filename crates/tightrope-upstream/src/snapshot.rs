//! An immutable view of an upstream.

use std::{fmt, num::NonZeroU32, sync::Arc};

use tokio::time::Instant;

use crate::{Availability, Endpoint, EndpointId, Group, Weight};

/// An immutable view of an upstream: its members and their availability at one generation.
///
/// Members are in the order in which they were configured. Where an index of a member is taken
/// or given, it is its place in [`members`](Self::members).
pub struct Snapshot {
    upstream: Arc<str>,
    epoch: Instant,
    generation: u64,
    layout: Arc<Layout>,
    availability: Box<[Availability]>,
    available: Box<[u32]>,
    ignores_health: bool,
    /// Of every member, the share of its weight in percent; none where all have all of it.
    ramps: Option<Box<[u8]>>,
}

/// What only a change of membership, weight, group or active group changes; shared by all
/// snapshots in between.
pub(crate) struct Layout {
    pub(crate) generation: u64,
    pub(crate) active: Option<Group>,
    limit: Option<NonZeroU32>,
    pub(crate) members: Box<[Arc<Endpoint>]>,
    candidates: Box<[u32]>,
}

// === impl Snapshot ===

impl Snapshot {
    pub(crate) fn empty(upstream: Arc<str>) -> Self {
        Self {
            upstream,
            epoch: Instant::now(),
            generation: 0,
            layout: Arc::new(Layout::new(0, None, None, Box::default())),
            availability: Box::default(),
            available: Box::default(),
            ignores_health: false,
            ramps: None,
        }
    }

    /// What follows it.
    pub(crate) fn next(
        &self,
        generation: u64,
        layout: Arc<Layout>,
        availability: Box<[Availability]>,
    ) -> Self {
        let available = layout
            .candidates
            .iter()
            .copied()
            .filter(|&index| availability[index as usize].is_available())
            .collect();
        Self {
            upstream: Arc::clone(&self.upstream),
            epoch: self.epoch,
            generation,
            layout,
            availability,
            available,
            ignores_health: false,
            ramps: None,
        }
    }

    /// When the upstream was made.
    pub(crate) const fn epoch(&self) -> Instant {
        self.epoch
    }

    /// The same members where unhealthy and ejected ones count as available: for a strategy that
    /// would rather try the sick than nobody. Drained, standby and weightless ones stay out.
    #[must_use]
    pub fn ignoring_health(&self) -> Self {
        let availability = self.availability.iter().map(|&availability| {
            if availability.is_in_service() {
                Availability::Available
            } else {
                availability
            }
        });
        let layout = Arc::clone(&self.layout);
        Self {
            ignores_health: true,
            ramps: self.ramps.clone(),
            ..self.next(self.generation, layout, availability.collect())
        }
    }

    /// Whether it is a view in which [the sick count as available](Self::ignoring_health).
    #[must_use]
    pub const fn ignores_health(&self) -> bool {
        self.ignores_health
    }

    /// The same members with other weights, for a strategy inside another that narrows its choice.
    ///
    /// `weight` is asked for the weight of each candidate, by index; one of 0 is no candidate any
    /// more. Records are shared, so what is learned through one view holds in all.
    ///
    /// The layout generation stays. Give the same weights for the same layout, or a strategy that
    /// keeps a table for it would not notice.
    #[must_use]
    pub fn with_weights(&self, mut weight: impl FnMut(usize) -> Weight) -> Self {
        let mut availability = self.availability.clone();
        let mut members = self.layout.members.clone();
        let mut candidates = self.layout.candidates.to_vec();
        candidates.retain(|&index| {
            let index = index as usize;
            let (member, weight) = (&mut members[index], weight(index));
            if weight == Weight::ZERO {
                if availability[index].is_available() {
                    availability[index] = Availability::Unweighted;
                }
                return false;
            }
            if weight != member.weight() {
                *member = Arc::new(member.with_weight(weight));
            }
            true
        });
        let layout = Layout {
            generation: self.layout.generation,
            active: self.layout.active.clone(),
            limit: self.layout.limit,
            members,
            candidates: candidates.into(),
        };
        Self {
            ignores_health: self.ignores_health,
            ramps: self.ramps.clone(),
            ..self.next(self.generation, Arc::new(layout), availability)
        }
    }

    /// The same members, those that [start slowly](crate::Ramp) with as much of their weight as they
    /// have by now; itself where nobody does. All weights are multiplied by the same number first, up
    /// to 100, so that a part of a small weight is a whole number: they tell shares and nothing else.
    ///
    /// For strategies that compare weights. One that keeps a table had better not make it anew for each
    /// step; see [`ramp_percent`](Self::ramp_percent).
    #[must_use]
    pub fn ramped(self: &Arc<Self>) -> Arc<Self> {
        let Some(ramps) = &self.ramps else {
            return Arc::clone(self);
        };
        let members = self.members();
        let largest = members.iter().map(|member| member.weight().get()).max();
        let scale = (Weight::MAX.get() / largest.unwrap_or(1).max(1)).min(100);
        let ramped = self.with_weights(|index| {
            let weight = members[index].weight();
            if weight == Weight::ZERO {
                return weight;
            }
            let weight = u64::from(weight.get()) * u64::from(scale) * u64::from(ramps[index]) / 100;
            Weight::from((weight.max(1)) as u16)
        });
        Arc::new(Self {
            ramps: None,
            ..ramped
        })
    }

    /// The share of its weight that the member with this index has by now, in percent: less than 100
    /// while it [starts slowly](crate::Ramp).
    ///
    /// # Panics
    /// There is no such member.
    #[must_use]
    pub fn ramp_percent(&self, index: usize) -> u8 {
        self.ramps.as_ref().map_or(100, |ramps| ramps[index])
    }

    /// Whether somebody starts slowly.
    #[must_use]
    pub const fn has_ramps(&self) -> bool {
        self.ramps.is_some()
    }

    pub(crate) fn has_the_ramps(&self, ramps: Option<&[u8]>) -> bool {
        self.ramps.as_deref() == ramps
    }

    /// What follows it where nothing but these changes.
    pub(crate) fn regrown(&self, generation: u64, ramps: Option<Box<[u8]>>) -> Self {
        let layout = Arc::clone(&self.layout);
        self.next(generation, layout, self.availability.clone())
            .with_ramps(ramps)
    }

    pub(crate) fn with_ramps(self, ramps: Option<Box<[u8]>>) -> Self {
        Self { ramps, ..self }
    }

    /// The name of the upstream.
    #[must_use]
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// Its number: every published change has a higher one.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The generation in which members, weights, metadata, groups or the active group last
    /// changed. While it stays, only availability differs, and tables built over the candidates
    /// still hold.
    #[must_use]
    pub fn layout_generation(&self) -> u64 {
        self.layout.generation
    }

    /// The group that gets the traffic; `None` means all members do.
    #[must_use]
    pub fn active_group(&self) -> Option<&Group> {
        self.layout.active.as_ref()
    }

    /// The most attempts in flight on all members together.
    #[must_use]
    pub fn max_in_flight(&self) -> Option<NonZeroU32> {
        self.layout.limit
    }

    /// All endpoints, in the order in which they were configured.
    #[must_use]
    pub fn members(&self) -> &[Arc<Endpoint>] {
        &self.layout.members
    }

    /// The indices of the members of the active group, available or not, in order: what the table
    /// of a hashing strategy spans.
    #[must_use]
    pub fn candidates(&self) -> &[u32] {
        &self.layout.candidates
    }

    /// The indices of the members that may be picked, in order.
    #[must_use]
    pub const fn available(&self) -> &[u32] {
        &self.available
    }

    /// The availability of every member, by index.
    #[must_use]
    pub const fn availability(&self) -> &[Availability] {
        &self.availability
    }

    /// The member with this id and its availability. Looks at one after the other.
    #[must_use]
    pub fn get(&self, id: &EndpointId) -> Option<(&Arc<Endpoint>, Availability)> {
        let members = self.members().iter().zip(&self.availability);
        members
            .map(|(member, &availability)| (member, availability))
            .find(|(member, _)| member.id() == id)
    }

    pub(crate) const fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("upstream", &self.upstream)
            .field("generation", &self.generation)
            .field("active_group", &self.layout.active)
            .field("members", &self.layout.members.len())
            .field("available", &self.available.len())
            .finish()
    }
}

// === impl Layout ===

impl Layout {
    pub(crate) fn new(
        generation: u64,
        active: Option<Group>,
        limit: Option<NonZeroU32>,
        members: Box<[Arc<Endpoint>]>,
    ) -> Self {
        let candidates = (0_u32..)
            .zip(&members)
            .filter(|(_, member)| in_group(member, active.as_ref()))
            .map(|(index, _)| index)
            .collect();
        Self {
            generation,
            active,
            limit,
            members,
            candidates,
        }
    }

    pub(crate) fn availability(&self, member: &Endpoint) -> Availability {
        if !in_group(member, self.active.as_ref()) {
            return Availability::Standby;
        }
        match member.record().verdict() {
            Availability::Draining => Availability::Draining,
            _ if member.weight().get() == 0 => Availability::Unweighted,
            verdict => verdict,
        }
    }
}

fn in_group(member: &Endpoint, active: Option<&Group>) -> bool {
    active.is_none_or(|active| member.group() == Some(active))
}
