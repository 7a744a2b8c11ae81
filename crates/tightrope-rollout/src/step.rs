//! What a rollout did, and how long it took.

use std::time::Duration;

use tightrope_upstream::{DrainReport, EndpointId, Group, Reason};

/// Something that a rollout did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The gate was tried and stayed shut; it is tried again.
    NotReady {
        /// Which try it was, from 1.
        number: u32,
        /// Who was not fit, in the order of the members; empty where nobody is in service in the group.
        unfit: Vec<Unfit>,
    },
    /// The gate opened.
    Ready {
        /// How many tries it took.
        tries: u32,
        /// Who was not fit nevertheless, in the order of the members.
        unfit: Vec<Unfit>,
    },
    /// The group was given the traffic, and every pick follows.
    Switched {
        /// The generation that was published.
        generation: u64,
        /// Who had the traffic before; `None` is everybody.
        from: Option<Group>,
        /// Who has it now.
        to: Group,
    },
    /// Live traffic told nothing against the group.
    Verified {
        /// Attempts that ended well.
        succeeded: u64,
        /// Attempts that ended badly.
        failed: u64,
    },
    /// The traffic was given back, and every pick follows.
    RolledBack {
        /// The generation that was published.
        generation: u64,
        /// Why.
        reason: Reason,
    },
    /// Those who lost the traffic, by the switch or by the rollback, were waited for.
    Drained(DrainReport),
}

/// An endpoint that is not fit for traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfit {
    /// Who.
    pub endpoint: EndpointId,
    /// Why.
    pub reason: Reason,
}

/// A step and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepReport {
    /// What was done.
    pub step: Step,
    /// How long it took, from the end of the step before.
    pub took: Duration,
}

/// Everything that a rollout did, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The steps.
    pub steps: Vec<StepReport>,
}

// === impl Report ===

impl Report {
    /// How long all of it took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.steps.iter().map(|step| step.took).sum()
    }

    /// The generation of the switch, if it came to that.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        self.steps.iter().find_map(|report| match report.step {
            Step::Switched { generation, .. } => Some(generation),
            _ => None,
        })
    }

    /// How those who lost the traffic in the end were drained, if it came to that.
    #[must_use]
    pub fn drain(&self) -> Option<&DrainReport> {
        self.steps
            .iter()
            .rev()
            .find_map(|report| match &report.step {
                Step::Drained(drain) => Some(drain),
                _ => None,
            })
    }
}
