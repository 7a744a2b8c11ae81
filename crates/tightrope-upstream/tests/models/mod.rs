//! What the loom tests share.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Weak};

use loom::sync::{
    Mutex,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use tightrope_upstream::{
    Change, Endpoint, EndpointId, EndpointSpec, Follower, Snapshot, Upstream,
};

/// How a follower publishes the generation: as weakly as can be.
pub(crate) const PUBLISHED: Ordering = Ordering::Relaxed;

/// Explores `f` with at most this many involuntary switches between threads.
pub(crate) fn check(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound.get_or_insert(preemptions);
    model.check(f);
}

pub(crate) fn id(name: &str) -> EndpointId {
    EndpointId::new(name).unwrap()
}

pub(crate) fn member(name: &str) -> EndpointSpec {
    EndpointSpec::new(format!("{name}.internal:80").parse().unwrap()).with_id(id(name))
}

pub(crate) fn upstream(names: &[&str]) -> Upstream {
    let upstream = Upstream::new("loom");
    let members = names.iter().map(|name| member(name));
    upstream.apply(Change::new().replace(members)).unwrap();
    upstream
}

pub(crate) fn endpoint(upstream: &Upstream, name: &str) -> Arc<Endpoint> {
    Arc::clone(upstream.snapshot().get(&id(name)).unwrap().0)
}

/// A balancer in small.
pub(crate) struct Published {
    pub(crate) generation: AtomicU64,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    building: AtomicUsize,
    most: AtomicUsize,
}

impl Published {
    pub(crate) fn follow(upstream: &Upstream) -> Arc<Self> {
        let published = Arc::new(Self {
            generation: AtomicU64::new(0),
            snapshot: Mutex::new(None),
            building: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let weak: Weak<Self> = Arc::downgrade(&published);
        upstream.follow(weak);
        published
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.lock().unwrap().clone().unwrap()
    }

    pub(crate) fn builds_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Follower for Published {
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        let building = self.building.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(building, Ordering::SeqCst);
        self.generation.store(snapshot.generation(), PUBLISHED);
        *self.snapshot.lock().unwrap() = Some(Arc::clone(snapshot));
        self.building.fetch_sub(1, Ordering::SeqCst);
    }
}
