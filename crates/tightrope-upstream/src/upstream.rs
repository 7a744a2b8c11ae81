//! A named set of interchangeable endpoints, with one writer.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use tokio::sync::{broadcast, watch};

use crate::{
    Change, ChangeError, Endpoint, Event, Events, Health, Snapshot, Update,
    publish::{Follower, Publisher},
    room::{Freed, Room},
    stage::Stage,
    state::State,
    sync::{ArcSwap, Mutex, lock},
};

/// A named set of interchangeable endpoints that can be changed at any time.
///
/// Cheap to clone; all clones are the same upstream. Readers take a [`Snapshot`] and never wait;
/// writers queue, so that two changes never interleave.
///
/// ```
/// use tightrope_upstream::{Change, EndpointSpec, Upstream};
///
/// let upstream = Upstream::new("api");
/// let update = upstream.apply(
///     Change::new().replace([
///         EndpointSpec::new("10.0.0.1:8080".parse()?),
///         EndpointSpec::new("10.0.0.2:8080".parse()?),
///     ]),
/// )?;
/// assert_eq!(update.generation(), 1);
/// assert_eq!(upstream.snapshot().available().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    room: Arc<Room>,
    state: Mutex<State>,
    current: ArcSwap<Snapshot>,
    publisher: Publisher,
    events: broadcast::Sender<Event>,
}

// === impl Upstream ===

impl Upstream {
    /// An upstream without members, whose new members count as healthy until a probe tells
    /// otherwise.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with_initial_health(name, Health::Healthy)
    }

    /// An upstream without members, whose new members have this health until the first probe:
    /// [`Health::Unhealthy`] keeps them out until one succeeded.
    #[must_use]
    pub fn with_initial_health(name: &str, health: Health) -> Self {
        let name: Arc<str> = name.into();
        let empty = Arc::new(Snapshot::empty(Arc::clone(&name)));
        let room = Arc::new(Room::new());
        Self {
            shared: Arc::new(Shared {
                name,
                state: Mutex::new(State::new(health, Arc::clone(&room))),
                room,
                current: ArcSwap::new(Arc::clone(&empty)),
                publisher: Publisher::new(empty),
                events: broadcast::Sender::new(Events::CAPACITY),
            }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// Checks `change` and publishes all of it as one snapshot.
    ///
    /// Unless another thread is just building pickers for an earlier change, they are built here,
    /// before the call returns; [`Update::applied`] tells. A change that changes nothing publishes
    /// nothing and is applied with the current generation.
    ///
    /// # Errors
    /// Some part of it cannot be done. Nothing was changed.
    ///
    /// # Panics
    /// A [`Follower`] panicked. The change is made all the same, and all others follow it.
    pub fn apply(&self, change: Change) -> Result<Update, ChangeError> {
        let shared = &*self.shared;
        let mut state = lock(&shared.state);
        let current = shared.current.load_full();
        let settled = *self.settled().borrow();
        let mut stage = Stage::new(&state, &current, settled);
        stage.check(change)?;
        let Some(staged) = stage.finish() else {
            return Ok(self.update(current.generation(), Vec::new()));
        };
        let generation = staged.snapshot.generation();
        if let Some(members) = staged.members {
            state.follow(members, generation, settled);
        }
        shared.current.store(Arc::new(staged.snapshot));
        for kind in staged.events {
            // An error means that nobody listens.
            let _nobody = shared.events.send(Event { generation, kind });
        }
        drop(state);
        shared.publisher.publish(|| shared.current.load_full());
        // Who waits for room finds others to choose from.
        shared.room.tell();
        Ok(self.update(generation, staged.leaving))
    }

    fn update(&self, generation: u64, leaving: Vec<Arc<Endpoint>>) -> Update {
        Update::new(generation, leaving, self.settled())
    }

    fn settled(&self) -> watch::Receiver<u64> {
        self.shared.publisher.settled()
    }

    /// Resolves when there may be room where there was none: when a place is given back that somebody
    /// [wanted](crate::Refusal::Full), and after every change. It misses nothing that happens after
    /// this call, so ask for it first, then try to pick, and wait where that comes to nothing.
    ///
    /// # Cancellation
    /// Dropping it is free of consequences.
    pub fn freed(&self) -> Freed {
        self.shared.room.freed()
    }

    /// The attempts in flight that count towards
    /// [`Snapshot::max_in_flight`](crate::Snapshot::max_in_flight); 0 where there is no limit.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.room.in_flight()
    }

    /// What happens to the upstream from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.shared.events.subscribe())
    }

    /// Gives `follower` the snapshot that picks follow now, at once, and every newer one, until it
    /// is dropped.
    pub fn follow(&self, follower: Weak<dyn Follower>) {
        self.shared.publisher.add(follower);
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("snapshot", &self.shared.current.load())
            .finish()
    }
}
