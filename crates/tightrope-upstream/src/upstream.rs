//! A named set of interchangeable endpoints, with one writer.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};

use crate::{
    Change, ChangeError, Endpoint, Event, Events, Health, Ramp, Snapshot, Update,
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

/// Lets endpoints start slowly for as long as it lives: see [`Upstream::begin_ramps`].
#[derive(Debug)]
#[must_use = "dropping it gives everybody all of their weight"]
pub struct RampGuard {
    upstream: Upstream,
    number: u64,
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
        let ramps = state.ramps.follow(&staged.snapshot, Instant::now());
        shared
            .current
            .store(Arc::new(staged.snapshot.with_ramps(ramps)));
        for kind in staged.events {
            // An error means that nobody listens.
            let _nobody = shared.events.send(Event { generation, kind });
        }
        drop(state);
        self.publish();
        Ok(self.update(generation, staged.leaving))
    }

    fn publish(&self) {
        let shared = &*self.shared;
        shared.publisher.publish(|| shared.current.load_full());
        // Who waits for room finds others to choose from.
        shared.room.tell();
    }

    /// Lets endpoints that become available from now on start slowly, like this, until the guard is
    /// dropped: then those that do not have all of their weight yet get it. Of several guards the newest
    /// counts, and dropping another does nothing.
    ///
    /// Weights grow when somebody calls [`advance_ramps`](Self::advance_ramps), for which
    /// `tightrope-health` has a task.
    pub fn begin_ramps(&self, ramp: Ramp) -> RampGuard {
        let current = self.shared.current.load_full();
        let number = lock(&self.shared.state).ramps.begin(ramp, &current);
        self.advance_ramps();
        RampGuard {
            upstream: self.clone(),
            number,
        }
    }

    /// Publishes the weights that those have by now who start slowly; gives the time of the next
    /// change, none where nobody does. Tells no event.
    ///
    /// # Panics
    /// As for [`apply`](Self::apply).
    #[expect(
        clippy::must_use_candidate,
        reason = "the time is for who waits for it"
    )]
    pub fn advance_ramps(&self) -> Option<Instant> {
        let shared = &*self.shared;
        let mut state = lock(&shared.state);
        let (now, current) = (Instant::now(), shared.current.load_full());
        let ramps = state.ramps.follow(&current, now);
        let next = state.ramps.next(now);
        let is_news = !current.has_the_ramps(ramps.as_deref());
        if is_news {
            let generation = current.generation() + 1;
            shared
                .current
                .store(Arc::new(current.regrown(generation, ramps)));
        }
        drop(state);
        if is_news {
            self.publish();
        }
        next
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

// === impl RampGuard ===

impl Drop for RampGuard {
    fn drop(&mut self) {
        lock(&self.upstream.shared.state).ramps.end(self.number);
        self.upstream.advance_ramps();
    }
}
