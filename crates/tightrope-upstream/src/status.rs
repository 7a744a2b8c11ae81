//! What is known of an endpoint, and what follows from it.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use crate::Reason;

/// What was decided by hand or by a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Admin {
    /// In service.
    Active,
    /// Gets no new picks; what is in flight ends.
    Draining,
}

/// The verdict of active probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Health {
    /// It may be picked.
    Healthy,
    /// It may not.
    Unhealthy,
}

/// The verdict of live traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ejection {
    /// It may be picked.
    In,
    /// It may not, until it is restored or tried.
    Ejected,
    /// It may be picked for one attempt at a time, until somebody decides: half-open.
    OnTrial,
}

/// A value, why it is so and since when.
#[derive(Clone, Debug)]
pub struct Verdict<T> {
    value: T,
    reason: Reason,
    since: Instant,
}

/// The three verdicts on an endpoint, each with its reason and age.
///
/// They are kept apart and all must agree: administrative state over probes over live traffic.
/// [`Availability`] is what follows from them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// By hand.
    pub admin: Verdict<Admin>,
    /// By probes.
    pub health: Verdict<Health>,
    /// By live traffic.
    pub ejection: Verdict<Ejection>,
}

/// Whether an endpoint may be picked, and if not, the first reason against it.
///
/// The variants are in order of precedence: an endpoint that is both draining and unhealthy counts
/// as draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Availability {
    /// It may be picked.
    Available,
    /// It belongs to another group than the active one.
    Standby,
    /// It is being drained.
    Draining,
    /// Its weight is 0.
    Unweighted,
    /// Its probes fail.
    Unhealthy,
    /// Live traffic told against it.
    Ejected,
}

// === impl Verdict ===

impl<T: Copy + PartialEq> Verdict<T> {
    pub(crate) fn new(value: T, reason: Reason) -> Self {
        Self {
            value,
            reason,
            since: Instant::now(),
        }
    }

    /// Sets the value; tells whether that changed it. One that stays keeps its reason and age.
    pub(crate) fn set(&mut self, value: T, reason: &Reason) -> bool {
        let changes = self.value != value;
        if changes {
            *self = Self::new(value, reason.clone());
        }
        changes
    }

    /// The value.
    #[must_use]
    pub const fn value(&self) -> T {
        self.value
    }

    /// Why it is so.
    #[must_use]
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// How long it has been so.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }
}

// === impl Availability ===

impl Availability {
    /// Whether a new pick may reach the endpoint at all: it is in the active group, not draining
    /// and has a weight. Probes and live traffic may still speak against it.
    ///
    /// Only such endpoints count when the share of healthy ones is judged, so draining never
    /// looks like sickness.
    #[must_use]
    pub const fn is_in_service(self) -> bool {
        matches!(self, Self::Available | Self::Unhealthy | Self::Ejected)
    }

    /// Whether it may be picked.
    #[must_use]
    pub const fn is_available(self) -> bool {
        matches!(self, Self::Available)
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Available => "available",
            Self::Standby => "standby",
            Self::Draining => "draining",
            Self::Unweighted => "unweighted",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
        })
    }
}
