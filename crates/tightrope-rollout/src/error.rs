//! Why a rollout did not end with the new group in service, and why a rollback was refused.

use std::fmt;

use tightrope_upstream::{ChangeError, Group, Reason};

use crate::{Report, Unfit};

/// Why a rollout did not end with the new group in service.
///
/// But for [`RolledBack`](Self::RolledBack), [`NotRolledBack`](Self::NotRolledBack) and
/// [`Overtaken`](Self::Overtaken) it changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// The group has no member.
    #[error("no endpoint is in group `{group}`")]
    UnknownGroup {
        /// The group.
        group: Group,
    },
    /// The group has the traffic already.
    #[error("group `{group}` has the traffic already")]
    AlreadyActive {
        /// The group.
        group: Group,
    },
    /// The gate stayed shut.
    #[error("group `{group}` was not ready after {tries} tries: {}", Listed(.unfit))]
    NotReady {
        /// The group.
        group: Group,
        /// How often it was tried.
        tries: u32,
        /// Who was not fit at the last try, in the order of the members; empty where nobody was in service in the
        /// group, because its members had left, were draining or had no weight.
        unfit: Vec<Unfit>,
    },
    /// Somebody else moved the traffic before the switch.
    #[error("somebody else gave the traffic to {}", Named(.active))]
    Superseded {
        /// Who has the traffic; `None` is everybody.
        active: Option<Group>,
    },
    /// The rollback came before the switch.
    #[error("cancelled: {reason}")]
    Cancelled {
        /// Why.
        reason: Reason,
    },
    /// Somebody else moved the traffic after the switch, while it was being verified. It stays where they moved it.
    #[error("after the switch somebody else gave the traffic to {}", Named(.active))]
    Overtaken {
        /// Who has the traffic; `None` is everybody.
        active: Option<Group>,
        /// What was done.
        report: Report,
    },
    /// The traffic was given back after the switch, by hand or because it failed.
    #[error("rolled back: {reason}")]
    RolledBack {
        /// Why.
        reason: Reason,
        /// What was done, the way back included.
        report: Report,
    },
    /// Live traffic failed, and could not be given back. It stays with the new group.
    #[error("not rolled back although {reason}")]
    NotRolledBack {
        /// Why it was to be.
        reason: Reason,
        /// Why it was not.
        #[source]
        error: RollbackError,
        /// What was done.
        report: Report,
    },
    /// The upstream refused the switch.
    #[error("the switch was refused")]
    Refused(#[source] ChangeError),
}

/// Why a rollback was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollbackError {
    /// Somebody else moved the traffic since the switch.
    #[error("somebody else gave the traffic to {}", Named(.active))]
    Superseded {
        /// Who has the traffic; `None` is everybody.
        active: Option<Group>,
    },
    /// The upstream refused it: the old group has no member any more.
    #[error("the way back was refused")]
    Refused(#[source] ChangeError),
}

/// Who has the traffic, in words.
struct Named<'a>(&'a Option<Group>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(group) => write!(f, "group `{group}`"),
            None => f.write_str("everybody"),
        }
    }
}

/// Who is not fit, in words.
struct Listed<'a>(&'a [Unfit]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none of its endpoints is in service");
        }
        for (index, Unfit { endpoint, reason }) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{endpoint}` ({reason})")?;
        }
        Ok(())
    }
}
