//! The connections to one endpoint.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tightrope_upstream::{Address, Endpoint, Record};
use tokio::{sync::Notify, task::JoinSet, time::Instant};

use super::{
    ConnectError, Connections, Open, Reaper, Stream,
    connect::Made,
    lend::{Lent, Loan},
};
use crate::{ForwardConfig, Protocol, h1, h2};

/// The connections to one endpoint, and who waits for one.
#[derive(Debug)]
pub(super) struct Entry {
    record: Weak<Record>,
    /// Where they lead: an update may change the address of an endpoint.
    pub(super) address: Address,
    pub(super) config: Arc<ForwardConfig>,
    state: Mutex<State>,
    /// There may be something for who waits.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// In the order in which they were put back.
    idle: Vec<Idle>,
    shared: Vec<Shared>,
    /// All connections, also those that are being made; not those that their endpoint is closing.
    pub(super) open: usize,
    pub(super) waiting: usize,
    made: u64,
    reused: u64,
    /// What was agreed on last.
    pub(super) agreed: Option<Protocol>,
    /// The tasks that make connections for all who wait.
    pub(super) makers: JoinSet<()>,
    pub(super) making: usize,
    /// How many of them ended, and why the last of them that failed did.
    pub(super) ended: u64,
    pub(super) failed: Option<(u64, Arc<ConnectError>)>,
    reaper: Option<Reaper>,
    is_retired: bool,
}

/// A connection of HTTP/1.1 that nobody uses.
#[derive(Debug)]
struct Idle {
    connection: Box<h1::Connection>,
    since: Instant,
}

/// A connection of HTTP/2.
#[derive(Debug)]
struct Shared {
    connection: Arc<h2::Connection>,
    streams: usize,
    /// Since when it carries nothing.
    since: Instant,
    has_carried: bool,
}

/// How often it is looked whether the endpoint is gone.
const TICK: Duration = Duration::from_secs(1);

// === impl Entry ===

impl Entry {
    pub(super) fn new(endpoint: &Endpoint, config: Arc<ForwardConfig>) -> Self {
        Self {
            record: Arc::downgrade(endpoint.record()),
            address: endpoint.address().clone(),
            config,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leads_to(&self, address: &Address) -> bool {
        self.address == *address
    }

    /// Whether its endpoint is gone.
    pub(super) fn is_forsaken(&self) -> bool {
        self.record.strong_count() == 0
    }

    /// A connection that is there, where nobody else waits for it.
    pub(super) fn take(self: &Arc<Self>, protocol: Protocol) -> Option<Loan> {
        let mut state = self.lock();
        if state.waiting > 0 {
            return None;
        }
        state.take(self, protocol)
    }

    /// Keeps a connection for the next request, or closes it.
    pub(super) fn put(self: &Arc<Self>, mut connection: Box<h1::Connection>) {
        connection.rest();
        let now = Instant::now();
        let config = &self.config;
        let is_old = is_older_than(connection.since(), config.pool_max_age);
        let mut state = self.lock();
        if is_old
            || state.is_retired
            || config.pool_max_idle == 0
            || config.pool_idle_timeout.is_zero()
        {
            drop(state);
            return self.closed();
        }
        let idle = &mut state.idle;
        let excess = (idle.len() >= config.pool_max_idle).then(|| idle.remove(0));
        idle.push(Idle {
            connection,
            since: now,
        });
        state.open -= usize::from(excess.is_some());
        self.keep_swept(&mut state);
        self.wake(&state);
        drop(state);
        drop(excess);
    }

    /// A connection was closed.
    pub(super) fn closed(&self) {
        let mut state = self.lock();
        state.open -= 1;
        self.wake(&state);
    }

    /// A place on `connection` is free.
    pub(super) fn released(&self, connection: &Arc<h2::Connection>) {
        let mut state = self.lock();
        let of = |shared: &&mut Shared| Arc::ptr_eq(&shared.connection, connection);
        if let Some(shared) = state.shared.iter_mut().find(of) {
            shared.streams -= 1;
            shared.since = Instant::now();
        }
        self.wake(&state);
    }

    /// Whoever waited for longest may look again.
    pub(super) fn wake(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_one();
        }
    }

    /// It leads nowhere any more: what is idle ends, and so will what comes back.
    pub(super) fn retire(&self) {
        let mut state = self.lock();
        state.is_retired = true;
        state.open -= state.idle.len() + state.shared.len();
        state.reaper = None;
        let ended = (mem::take(&mut state.idle), mem::take(&mut state.shared));
        drop(state);
        drop(ended);
    }

    pub(super) fn connections(&self) -> Connections {
        let mut state = self.lock();
        state.prune(self.config.pool_max_age);
        let unused = |shared: &&Shared| shared.streams == 0;
        Connections {
            open: state.open,
            idle: state.idle.len() + state.shared.iter().filter(unused).count(),
            http2: state.shared.len(),
            streams: state.shared.iter().map(|shared| shared.streams).sum(),
            waiting: state.waiting,
            made: state.made,
            reused: state.reused,
        }
    }

    /// Keeps a new connection for whoever comes first.
    pub(super) fn admit(self: &Arc<Self>, state: &mut State, made: Made) {
        state.made(&made);
        state.add(made);
        self.keep_swept(state);
    }

    fn keep_swept(self: &Arc<Self>, state: &mut State) {
        if state.reaper.as_ref().is_none_or(Reaper::is_finished) {
            state.reaper = Some(Reaper::spawn(self, self.tick()));
        }
    }

    fn tick(&self) -> Duration {
        self.config.pool_idle_timeout.min(TICK)
    }

    /// Closes what is idle for too long or leads nowhere; returns when to look again, if ever.
    pub(super) fn sweep(&self) -> Option<Duration> {
        if self.is_forsaken() {
            self.retire();
            return None;
        }
        let mut state = self.lock();
        let config = &self.config;
        let (before, now) = (state.idle.len() + state.shared.len(), Instant::now());
        let mut next = self.tick();
        let mut is_in_time = |since: Instant| {
            let left = (config.pool_idle_timeout).saturating_sub(now.duration_since(since));
            if !left.is_zero() {
                next = next.min(left);
            }
            !left.is_zero()
        };
        state.idle.retain_mut(|idle| {
            is_in_time(idle.since)
                && !is_older_than(idle.connection.since(), config.pool_max_age)
                && idle.connection.is_idle()
        });
        (state.shared).retain(|shared| shared.streams > 0 || is_in_time(shared.since));
        let left = state.idle.len() + state.shared.len();
        state.open -= before - left;
        state.prune(config.pool_max_age);
        let left = state.idle.len() + state.shared.len();
        if left < before {
            self.changed.notify_waiters();
        }
        if left == 0 {
            state.reaper = None;
            return None;
        }
        Some(next)
    }
}

// === impl State ===

impl State {
    /// A connection that is there.
    pub(super) fn take(&mut self, entry: &Arc<Entry>, protocol: Protocol) -> Option<Loan> {
        let lent = match protocol {
            Protocol::Http1 => self.take_idle(entry),
            Protocol::Http2 => self.take_stream(entry),
            Protocol::Negotiated => self.take_stream(entry).or_else(|| self.take_idle(entry)),
        };
        self.reused += u64::from(lent.as_ref().is_some_and(|loan| loan.is_reused));
        lent
    }

    fn take_idle(&mut self, entry: &Arc<Entry>) -> Option<Loan> {
        // Nearly always the first.
        while let Some(mut idle) = self.idle.pop() {
            if idle.connection.is_idle() {
                let open = Open::new(Arc::clone(entry));
                return Some(Loan {
                    lent: Lent::Http1(idle.connection, open),
                    is_reused: true,
                });
            }
            self.open -= 1;
        }
        None
    }

    fn take_stream(&mut self, entry: &Arc<Entry>) -> Option<Loan> {
        let max_age = entry.config.pool_max_age;
        for shared in &mut self.shared {
            if shared.streams < shared.connection.max_streams()
                && !shared.is_older_than(max_age)
                && let Some(requests) = shared.connection.requests()
            {
                let was_idle = shared.streams == 0;
                shared.streams += 1;
                let connection = Arc::clone(&shared.connection);
                let stream = Stream::new(connection, was_idle, Arc::clone(entry));
                return Some(Loan {
                    lent: Lent::Http2(Arc::new(stream), requests),
                    is_reused: mem::replace(&mut shared.has_carried, true),
                });
            }
        }
        // Those that are of no use make room for others.
        self.prune(max_age);
        None
    }

    /// Lets go of connections of HTTP/2 that will carry nothing more. What they still carry holds them.
    pub(super) fn prune(&mut self, max_age: Duration) {
        let before = self.shared.len();
        self.shared
            .retain(|shared| !shared.connection.is_over() && !shared.is_older_than(max_age));
        self.open -= before - self.shared.len();
    }

    /// Whether there is something for another request as well.
    pub(super) fn has_more(&self, entry: &Entry) -> bool {
        let has_room = |shared: &Shared| shared.streams < shared.connection.max_streams();
        !self.idle.is_empty()
            || self.open < entry.config.pool_max_connections
            || self.shared.iter().any(has_room)
    }

    /// A connection was made.
    pub(super) const fn made(&mut self, made: &Made) {
        self.made += 1;
        self.agreed = Some(match made {
            Made::Http1(_) => Protocol::Http1,
            Made::Http2(_) => Protocol::Http2,
        });
    }

    fn add(&mut self, made: Made) {
        let since = Instant::now();
        match made {
            Made::Http1(connection) => self.idle.push(Idle { connection, since }),
            Made::Http2(connection) => self.shared.push(Shared {
                connection: Arc::new(connection),
                streams: 0,
                since,
                has_carried: false,
            }),
        }
    }
}

// === impl Shared ===

impl Shared {
    fn is_older_than(&self, age: Duration) -> bool {
        is_older_than(self.connection.since(), age)
    }
}

/// Whether what is there `since` then is at least of this age. Without a limit nobody looks at the clock.
fn is_older_than(since: Instant, age: Duration) -> bool {
    age != Duration::MAX && since.elapsed() >= age
}
