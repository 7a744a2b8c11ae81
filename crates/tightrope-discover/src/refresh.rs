//! Makes what a source says true of an upstream.

use std::{sync::Arc, time::Duration};

use tightrope_upstream::{
    Change, ChangeError, EndpointSpec, Group, Snapshot, Source, SourceError, Update, Upstream,
};
use tokio::{sync::watch, task::JoinHandle, time::sleep};
use tracing::Instrument;

/// Makes each list of a source the members of an upstream.
///
/// A list is taken whole, in one transaction, or refused whole: then the last good one stays, as it does while the
/// source has only errors to give and after it ended. Members that stay keep their live state, and whether they are
/// drained, healthy or ejected; their address, weight, group and metadata become those of the list, even where
/// somebody changed them by hand meanwhile. The active group stays.
#[derive(Debug)]
#[must_use = "nothing is refreshed until it is spawned"]
pub struct Refresh<S> {
    upstream: Upstream,
    source: S,
    on_empty: OnEmpty,
}

/// What to do with a list that would leave nobody to pick from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnEmpty {
    /// Refuse it, if it is empty or has no member in the active group. The default: a source that knows nobody is
    /// more often wrong than right.
    #[default]
    Keep,
    /// Apply it like any other.
    Apply,
}

/// The owner of a [`Refresh`] that was spawned: dropping it ends the refreshing. The members stay.
#[derive(Debug)]
#[must_use = "dropping it ends the refreshing"]
pub struct Refreshing {
    state: watch::Receiver<RefreshState>,
    task: JoinHandle<()>,
}

/// What became of the lists so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RefreshState {
    /// How many lists were applied, those that changed nothing included.
    pub applied: u64,
    /// How many lists were refused.
    pub refused: u64,
    /// How many errors the source gave.
    pub failed: u64,
    /// The generation of the newest list that was applied.
    pub generation: Option<u64>,
    /// Why the newest list was not applied; `None` if it was.
    pub last_error: Option<Arc<RefreshError>>,
}

/// Why the members are not those that the source has, or should have, by now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// The source gave an error.
    #[error("no list from the source")]
    Source(#[source] SourceError),
    /// The list is empty.
    #[error("the list is empty")]
    Empty,
    /// The list would leave the active group without members.
    #[error("the list has no endpoint in group `{group}`, which has the traffic")]
    EmptyGroup {
        /// The group.
        group: Group,
    },
    /// The upstream refused the list.
    #[error("the list was refused")]
    Refused(#[source] ChangeError),
}

// === impl Refresh ===

impl<S: Source> Refresh<S> {
    /// The pause after an error, so that a source that has only errors does not keep a processor busy.
    const PAUSE: Duration = Duration::from_secs(1);

    /// Feeds `source` into `upstream`.
    pub fn new(upstream: &Upstream, source: S) -> Self {
        Self {
            upstream: upstream.clone(),
            source,
            on_empty: OnEmpty::Keep,
        }
    }

    /// What to do with a list that would leave nobody to pick from; default [`OnEmpty::Keep`].
    pub const fn with_on_empty(mut self, on_empty: OnEmpty) -> Self {
        self.on_empty = on_empty;
        self
    }

    /// Begins, in a task on the runtime of the caller and in its span. After an error of the source it is asked again
    /// 1 s later. The task ends when its owner is dropped or the source ends.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn(self) -> Refreshing {
        let (sender, state) = watch::channel(RefreshState::default());
        let task = tokio::spawn(self.run(sender).in_current_span());
        Refreshing { state, task }
    }

    async fn run(mut self, state: watch::Sender<RefreshState>) {
        while let Some(answer) = self.source.next().await {
            let is_error = answer.is_err();
            let result = match answer {
                Ok(list) => self.apply(list),
                Err(error) => Err(RefreshError::Source(error)),
            };
            self.tell(&result);
            state.send_modify(|state| state.add(result));
            if is_error {
                sleep(Self::PAUSE).await;
            }
        }
    }

    /// Judged by the very snapshot that the list replaces: a rollout may move the traffic at any moment.
    fn apply(&self, list: Vec<EndpointSpec>) -> Result<Update, RefreshError> {
        loop {
            let snapshot = self.upstream.snapshot();
            if self.on_empty == OnEmpty::Keep {
                check(&snapshot, &list)?;
            }
            let change = Change::new().if_generation(snapshot.generation());
            match self.upstream.apply(change.replace(list.iter().cloned())) {
                Ok(update) => return Ok(update),
                Err(ChangeError::Stale { .. }) => {}
                Err(error) => return Err(RefreshError::Refused(error)),
            }
        }
    }

    fn tell(&self, result: &Result<Update, RefreshError>) {
        let upstream = self.upstream.name();
        match result {
            Ok(update) => {
                let generation = update.generation();
                tracing::debug!(name: "tightrope.discover.applied", upstream, generation, "applied a list");
            }
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = error;
                tracing::warn!(name: "tightrope.discover.kept", upstream, error, "kept the last good list");
            }
        }
    }
}

/// Whether `list` leaves somebody to pick from.
fn check(snapshot: &Snapshot, list: &[EndpointSpec]) -> Result<(), RefreshError> {
    if list.is_empty() {
        return Err(RefreshError::Empty);
    }
    match snapshot.active_group() {
        Some(group) if !list.iter().any(|spec| spec.group.as_ref() == Some(group)) => {
            let group = group.clone();
            Err(RefreshError::EmptyGroup { group })
        }
        _ => Ok(()),
    }
}

// === impl Refreshing ===

impl Refreshing {
    /// What became of the lists so far.
    #[must_use]
    pub fn state(&self) -> RefreshState {
        self.state.borrow().clone()
    }

    /// Resolves when `wanted` holds of the state, such as that a first list was applied. It also resolves when the
    /// source ended, or panicked, without: look at what it gives.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn wait_for(&self, wanted: impl FnMut(&RefreshState) -> bool) -> RefreshState {
        let mut state = self.state.clone();
        // An error means that the task is over; what it left is the last word.
        let _over = state.wait_for(wanted).await.map(drop);
        state.borrow().clone()
    }

    /// Whether the source ended, or panicked: the members stay as they are.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.state.has_changed().is_err()
    }
}

impl Drop for Refreshing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl RefreshState ===

impl RefreshState {
    fn add(&mut self, result: Result<Update, RefreshError>) {
        match result {
            Ok(update) => {
                self.applied += 1;
                self.generation = Some(update.generation());
                self.last_error = None;
            }
            Err(error) => {
                match error {
                    RefreshError::Source(_) => self.failed += 1,
                    _ => self.refused += 1,
                }
                self.last_error = Some(Arc::new(error));
            }
        }
    }
}
