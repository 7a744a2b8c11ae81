//! All traffic from one group to another, at once.

use std::{sync::Arc, time::Duration};

use tightrope_upstream::{Group, Upstream};

use crate::{Gate, Rollout, RolloutError, Verify, gate::members, switch::Switch};

/// Gives all traffic of an upstream to another of its groups, in one published snapshot.
///
/// 1. The [`Gate`] is tried until the group is fit. Nothing is changed if it never is.
/// 2. The group gets the traffic, unless somebody else moved it meanwhile. What was judged is what is published: if
///    the members or a verdict changed since the gate was tried, it is judged again before anything is switched.
/// 3. Its live traffic is watched, if [`Verify`] says so, and given back when too much fails.
/// 4. The old group is waited for until nothing is in flight on it. It stays as it is, so that the
///    [`Rollback`](crate::Rollback) can give it the traffic again; stop its servers when that is no longer wanted.
///
/// Not for when two versions must not serve each other's sessions or data: the requests in flight on the old group go
/// on while the new one serves already.
#[derive(Clone, Debug)]
#[must_use = "a rollout does nothing until it is started and run"]
pub struct BlueGreen {
    upstream: Upstream,
    to: Group,
    pub(crate) gate: Gate,
    pub(crate) verify: Option<Verify>,
    pub(crate) drain_deadline: Duration,
}

impl BlueGreen {
    /// Gives the traffic of `upstream` to `group`.
    pub fn new(upstream: &Upstream, group: Group) -> Self {
        Self {
            upstream: upstream.clone(),
            to: group,
            gate: Gate::new(),
            verify: None,
            drain_deadline: Duration::from_secs(30),
        }
    }

    /// What the group must show first; default [`Gate::new`].
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// Watches live traffic after the switch; default: it is not watched.
    pub fn with_verify(mut self, verify: Verify) -> Self {
        self.verify = Some(verify);
        self
    }

    /// How long those who lose the traffic are waited for, from the end of verification or from the rollback;
    /// default 30 s. What is in flight by then is reported, and goes on.
    pub const fn with_drain_deadline(mut self, deadline: Duration) -> Self {
        self.drain_deadline = deadline;
        self
    }

    /// Notes who has the traffic. Nothing is done until the [`Rollout`] runs.
    ///
    /// # Errors
    /// [`RolloutError::UnknownGroup`]: the group has no members. [`RolloutError::AlreadyActive`]: it has the traffic.
    pub fn start(self) -> Result<Rollout, RolloutError> {
        let snapshot = self.upstream.snapshot();
        let (from, group) = (snapshot.active_group().cloned(), self.to.clone());
        if from.as_ref() == Some(&group) {
            return Err(RolloutError::AlreadyActive { group });
        }
        if members(&snapshot, &group).next().is_none() {
            return Err(RolloutError::UnknownGroup { group });
        }
        let switch = Arc::new(Switch::new(self.upstream.clone(), from, group));
        Ok(Rollout::new(self, switch))
    }
}
