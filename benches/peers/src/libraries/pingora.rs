//! Picks by pingora.

use std::{
    collections::{BTreeSet, HashMap},
    hint::black_box,
    mem,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use pingora_load_balancing::{
    Backend, Backends, LoadBalancer,
    discovery::ServiceDiscovery,
    selection::{BackendIter, BackendSelection, Consistent, Random, RoundRobin},
};

use super::{address, now};
use crate::{Case, Keys, Picks, Weights, What, Writer};

macro_rules! picks {
    ($subject:literal, $keyed:literal, $weights:ident, $selection:ty) => {
        Case {
            name: concat!($subject, "/pingora"),
            make: |count| {
                Box::new(Balanced::<$keyed, $selection>::new(
                    count,
                    Weights::$weights,
                ))
            },
        }
    };
}

macro_rules! picker {
    ($subject:literal, $keyed:literal, $weights:ident, $selection:ty) => {
        Case {
            name: concat!("picker/", $subject, "/pingora"),
            make: |count| {
                let backends = backends(count, Weights::$weights).collect();
                Box::new(Bare::<$keyed, $selection> {
                    selection: Arc::new(<$selection>::build(&backends)),
                    keys: Keys::default(),
                })
            },
        }
    };
}

pub(crate) const CASES: &[Case] = &[
    picks!("round_robin", false, Equal, RoundRobin),
    picks!("weighted_round_robin", false, Mixed, RoundRobin),
    picks!("weighted_random", false, Mixed, Random),
    picks!("ring_hash", true, Equal, Consistent),
    picker!("round_robin", false, Equal, RoundRobin),
    picker!("weighted_random", false, Mixed, Random),
    picker!("ring_hash", true, Equal, Consistent),
];

/// How many candidates a selection may look at, as in pingora's own examples.
const MOST: usize = 256;

/// Selects from a balancer.
struct Balanced<const KEYED: bool, S: BackendSelection> {
    count: u32,
    weights: Weights,
    balancer: Arc<LoadBalancer<S>>,
    feed: Feed,
    keys: Keys,
}

/// Asks a selection alone.
struct Bare<const KEYED: bool, S> {
    selection: Arc<S>,
    keys: Keys,
}

/// What is discovered next.
#[derive(Clone)]
struct Feed(Arc<Mutex<BTreeSet<Backend>>>);

struct Changes<S: BackendSelection> {
    balancer: Arc<LoadBalancer<S>>,
    feed: Feed,
    what: What,
    middle: Backend,
    others: BTreeSet<Backend>,
    enable: bool,
}

fn backend(n: u32, weight: u32) -> Backend {
    Backend::new_with_weight(&address(n).to_string(), weight as usize).unwrap()
}

fn backends(count: u32, weights: Weights) -> impl Iterator<Item = Backend> {
    (0..count).map(move |n| backend(n, weights.of(n)))
}

// === impl Balanced ===

impl<const KEYED: bool, S> Balanced<KEYED, S>
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    fn new(count: u32, weights: Weights) -> Self {
        let feed = Feed(Arc::new(Mutex::new(backends(count, weights).collect())));
        let balancer = LoadBalancer::from_backends(Backends::new(Box::new(feed.clone())));
        now(balancer.update()).unwrap();
        Self {
            count,
            weights,
            balancer: Arc::new(balancer),
            feed,
            keys: Keys::default(),
        }
    }
}

impl<const KEYED: bool, S> Picks for Balanced<KEYED, S>
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    fn make(&mut self, picks: u32) {
        self.keys.each::<KEYED>(picks, |key| {
            let selected = self.balancer.select(key.unwrap_or_default(), MOST);
            drop(black_box(selected.unwrap()));
        });
    }

    fn share(&mut self) -> Option<Box<dyn Picks>> {
        Some(Box::new(Self {
            count: self.count,
            weights: self.weights,
            balancer: Arc::clone(&self.balancer),
            feed: self.feed.clone(),
            keys: Keys::default(),
        }))
    }

    fn writer(&mut self, what: What) -> Option<Box<dyn Writer>> {
        let middle = self.count / 2;
        let middle = backend(middle, self.weights.of(middle));
        let mut others: BTreeSet<_> = backends(self.count, self.weights).collect();
        others.remove(&middle);
        Some(Box::new(Changes {
            balancer: Arc::clone(&self.balancer),
            feed: self.feed.clone(),
            what,
            middle,
            others,
            enable: true,
        }))
    }
}

// === impl Bare ===

impl<const KEYED: bool, S> Picks for Bare<KEYED, S>
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    fn make(&mut self, picks: u32) {
        self.keys.each::<KEYED>(picks, |key| {
            let mut candidates = self.selection.iter(key.unwrap_or_default());
            black_box(candidates.next().unwrap());
        });
    }
}

// === impl Feed ===

#[async_trait]
impl ServiceDiscovery for Feed {
    /// What was put there, for nothing: a discovery that keeps its list clones it here.
    async fn discover(&self) -> pingora_core::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        Ok((mem::take(&mut *self.0.lock().unwrap()), HashMap::new()))
    }
}

// === impl Changes ===

impl<S> Writer for Changes<S>
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    fn prepare(&mut self, n: u32) {
        match self.what {
            What::Weight => {
                let mut backends = self.others.clone();
                backends.insert(Backend {
                    weight: n as usize % 2 + 5,
                    ..self.middle.clone()
                });
                *self.feed.0.lock().unwrap() = backends;
            }
            What::Health => self.enable = n % 2 == 1,
        }
    }

    fn publish(&mut self) {
        match self.what {
            What::Weight => now(self.balancer.update()).unwrap(),
            What::Health => self
                .balancer
                .backends()
                .set_enable(&self.middle, self.enable),
        }
    }
}
