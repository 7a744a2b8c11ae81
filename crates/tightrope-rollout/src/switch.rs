//! The one thing that a rollout changes, and the way back.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tightrope_upstream::{Change, ChangeError, Group, Reason, Snapshot, Update, Upstream};
use tokio::sync::watch;

use crate::{RollbackError, RolloutError, Unfit};

/// Takes a rollout back, at any point: before the switch, after it, and after the end of the rollout.
///
/// Cheap to clone; all clones are the way back of the same rollout, and it is gone once.
#[derive(Clone)]
pub struct Rollback {
    switch: Arc<Switch>,
}

/// Gives the traffic to a group and back, each once.
pub(crate) struct Switch {
    pub(crate) upstream: Upstream,
    pub(crate) from: Option<Group>,
    pub(crate) to: Group,
    /// Held while a snapshot is published, so that the switch and the rollback cannot pass each other.
    phase: Mutex<Phase>,
    taken_back: watch::Sender<bool>,
}

#[derive(Clone, Debug)]
enum Phase {
    Before,
    Switched,
    Back {
        reason: Reason,
        update: Update,
        is_before: bool,
    },
}

/// Why the switch was not made.
pub(crate) enum Halt {
    /// Not yet: these are not fit.
    Unfit(Vec<Unfit>),
    /// It never will be.
    Ended(RolloutError),
}

/// Why the traffic was not moved.
enum Unmoved<T> {
    /// It is not where it was to be moved from.
    Superseded(Option<Group>),
    /// The snapshot is not fit.
    Unfit(T),
    Refused(ChangeError),
}

// === impl Rollback ===

impl Rollback {
    pub(crate) const fn new(switch: Arc<Switch>) -> Self {
        Self { switch }
    }

    /// Gives the traffic back to those who had it, before the call returns.
    ///
    /// Before the switch it cancels the rollout instead, and nothing is published; so it does when the rollout was
    /// refused or dropped. Called again it does nothing, and returns the same update.
    ///
    /// # Errors
    /// Somebody else moved the traffic since the switch, or the old group has no member any more. Nothing was changed.
    pub fn now(&self, reason: impl Into<Reason>) -> Result<Update, RollbackError> {
        self.switch.take_back(reason.into())
    }
}

impl fmt::Debug for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rollback").field(&self.switch).finish()
    }
}

// === impl Switch ===

impl Switch {
    pub(crate) fn new(upstream: Upstream, from: Option<Group>, to: Group) -> Self {
        Self {
            upstream,
            from,
            to,
            phase: Mutex::new(Phase::Before),
            taken_back: watch::Sender::new(false),
        }
    }

    /// Gives the traffic to the group if `judge` lets the very snapshot pass that the new one follows.
    pub(crate) fn forward<T>(
        &self,
        judge: impl FnMut(&Snapshot) -> Result<T, Vec<Unfit>>,
    ) -> Result<(T, Update), Halt> {
        let mut phase = self.phase();
        if let Phase::Back { reason, .. } = &*phase {
            let reason = reason.clone();
            return Err(Halt::Ended(RolloutError::Cancelled { reason }));
        }
        let moved = self.shift(self.from.as_ref(), Some(&self.to), judge);
        match moved {
            Ok(done) => {
                *phase = Phase::Switched;
                Ok(done)
            }
            Err(Unmoved::Unfit(unfit)) => Err(Halt::Unfit(unfit)),
            Err(Unmoved::Superseded(active)) => {
                Err(Halt::Ended(RolloutError::Superseded { active }))
            }
            Err(Unmoved::Refused(error)) => Err(Halt::Ended(RolloutError::Refused(error))),
        }
    }

    pub(crate) fn take_back(&self, reason: Reason) -> Result<Update, RollbackError> {
        let mut phase = self.phase();
        let (update, is_before) = match &*phase {
            Phase::Back { update, .. } => return Ok(update.clone()),
            // A change of nothing is an update that is applied, and that nobody leaves by.
            Phase::Before => (
                self.upstream
                    .apply(Change::new())
                    .map_err(RollbackError::Refused)?,
                true,
            ),
            Phase::Switched => (self.backward()?, false),
        };
        *phase = Phase::Back {
            reason,
            update: update.clone(),
            is_before,
        };
        drop(phase);
        self.taken_back.send_replace(true);
        Ok(update)
    }

    fn backward(&self) -> Result<Update, RollbackError> {
        let judge = |_: &Snapshot| Ok::<_, Infallible>(());
        match self.shift(Some(&self.to), self.from.as_ref(), judge) {
            Ok(((), update)) => Ok(update),
            Err(Unmoved::Superseded(active)) => Err(RollbackError::Superseded { active }),
            Err(Unmoved::Refused(error)) => Err(RollbackError::Refused(error)),
            Err(Unmoved::Unfit(never)) => match never {},
        }
    }

    /// Moves the traffic, unless it is not where it was. Others may change anything else at the same time, so a stale
    /// generation is no refusal but a reason to look again.
    fn shift<T, E>(
        &self,
        from: Option<&Group>,
        to: Option<&Group>,
        mut judge: impl FnMut(&Snapshot) -> Result<T, E>,
    ) -> Result<(T, Update), Unmoved<E>> {
        loop {
            let snapshot = self.upstream.snapshot();
            let active = snapshot.active_group();
            if active != from {
                return Err(Unmoved::Superseded(active.cloned()));
            }
            let judged = judge(&snapshot).map_err(Unmoved::Unfit)?;
            let change = match to {
                Some(group) => Change::new().activate(group.clone()),
                None => Change::new().activate_all(),
            };
            match self
                .upstream
                .apply(change.if_generation(snapshot.generation()))
            {
                Ok(update) => return Ok((judged, update)),
                Err(ChangeError::Stale { .. }) => {}
                Err(error) => return Err(Unmoved::Refused(error)),
            }
        }
    }

    /// Resolves when the rollout was taken back.
    pub(crate) async fn taken_back(&self) {
        let mut taken_back = self.taken_back.subscribe();
        // The sender is in `self`: it cannot be gone.
        let _always = taken_back.wait_for(|&is_so| is_so).await;
    }

    /// Why and by what update the traffic was given back after the switch; before it, only why.
    pub(crate) fn way_back(&self) -> Option<(Reason, Option<Update>)> {
        match &*self.phase() {
            Phase::Back {
                reason,
                update,
                is_before,
            } => Some((reason.clone(), (!is_before).then(|| update.clone()))),
            _ => None,
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}
