//! Picks by tightrope.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    sync::Arc,
    task::{Context as Task, Poll, Waker},
};

use tightrope_balance::{
    Balance, Context, HashOn, LeastRequest, Maglev, PeakEwma, Picker, Random, RingHash, RoundRobin,
    Strategy, WeightedRandom,
};
use tightrope_upstream::{
    Address, Change, EndpointId, EndpointSpec, Health, Outcome, Pick, Picked, Upstream, Weight,
};
use tower::Service;

use super::{address, now};
use crate::{Case, Keys, Picks, Weights, What, Writer};

macro_rules! picks {
    ($subject:literal, $keyed:literal, $weights:ident, $strategy:expr) => {
        Case {
            name: concat!($subject, "/tightrope"),
            make: |count| {
                let upstream = upstream(count, Weights::$weights);
                Box::new(Balanced::<$keyed>::new(upstream, $strategy))
            },
        }
    };
}

macro_rules! picker {
    ($subject:literal, $keyed:literal, $weights:ident, $strategy:expr) => {
        Case {
            name: concat!("picker/", $subject, "/tightrope"),
            make: |count| {
                let upstream = upstream(count, Weights::$weights);
                let mut strategy = $strategy;
                Box::new(Bare::<$keyed> {
                    picker: strategy.build(&upstream.snapshot()),
                    random: Random::from_seed(1),
                    keys: Keys::default(),
                })
            },
        }
    };
}

macro_rules! call {
    ($subject:literal, $strategy:expr) => {
        Case {
            name: concat!($subject, "/tightrope"),
            make: |count| {
                let upstream = upstream(count, Weights::Equal);
                Box::new(Called(
                    Balance::new(&upstream, $strategy, Nothing).with_seed(1),
                ))
            },
        }
    };
}

const HASH: HashOn = HashOn::key().with_secret(*b"known to nobody!");

pub(crate) const CASES: &[Case] = &[
    call!("call", LeastRequest::new()),
    call!("call_shared", LeastRequest::new()),
    call!("call_random", WeightedRandom::new()),
    picks!("round_robin", false, Equal, RoundRobin::new()),
    picks!("weighted_round_robin", false, Mixed, RoundRobin::new()),
    picks!("weighted_random", false, Mixed, WeightedRandom::new()),
    picks!("two_draws", false, Equal, LeastRequest::new()),
    picks!("peak_ewma_2", false, Equal, PeakEwma::with_choices(2)),
    picks!("peak_ewma_5", false, Equal, PeakEwma::with_choices(5)),
    picks!("full_scan", false, Equal, LeastRequest::full_scan()),
    Case {
        name: "full_scan_busy/tightrope",
        make: |count| {
            let upstream = upstream(count, Weights::Equal);
            let members = upstream.snapshot();
            let held = members.members().iter().map(|member| member.pick());
            let held = held.collect::<Result<Vec<_>, _>>().unwrap();
            let balanced = Balanced::<false>::new(upstream, LeastRequest::full_scan());
            Box::new(Balanced {
                _held: held.into(),
                ..balanced
            })
        },
    },
    picks!("maglev", true, Equal, Maglev::new().with_hash_on(HASH)),
    picks!("ring_hash", true, Equal, RingHash::new().with_hash_on(HASH)),
    picker!("round_robin", false, Equal, RoundRobin::new()),
    picker!("weighted_random", false, Mixed, WeightedRandom::new()),
    picker!("two_draws", false, Equal, LeastRequest::new()),
    picker!("peak_ewma_2", false, Equal, PeakEwma::with_choices(2)),
    picker!("maglev", true, Equal, Maglev::new().with_hash_on(HASH)),
    picker!("ring_hash", true, Equal, RingHash::new().with_hash_on(HASH)),
];

/// Picks from a balancer.
struct Balanced<const KEYED: bool> {
    upstream: Upstream,
    middle: EndpointId,
    balance: Balance<()>,
    keys: Keys,
    /// What else is in flight.
    _held: Arc<[Pick]>,
}

/// Asks a picker alone.
struct Bare<const KEYED: bool> {
    picker: Box<dyn Picker>,
    random: Random,
    keys: Keys,
}

/// Calls the service inside a balancer.
struct Called(Balance<Nothing>);

/// Answers at once, with the pick, so that it lasts until the answer is used.
#[derive(Clone)]
struct Nothing;

struct Changes {
    upstream: Upstream,
    middle: EndpointId,
    what: What,
    next: Change,
}

fn spec(n: u32, weights: Weights) -> EndpointSpec {
    let address = Address::try_from(address(n)).unwrap();
    EndpointSpec::new(address).with_weight(Weight::new(weights.of(n)).unwrap())
}

fn id(n: u32) -> EndpointId {
    spec(n, Weights::Equal).id
}

fn upstream(count: u32, weights: Weights) -> Upstream {
    let upstream = Upstream::new("bench");
    let members = (0..count).map(|n| spec(n, weights));
    upstream.apply(Change::new().replace(members)).unwrap();
    upstream
}

fn context(key: Option<&[u8]>) -> Context<'_> {
    match key {
        Some(key) => Context::new().with_key(key),
        None => Context::new(),
    }
}

// === impl Balanced ===

impl<const KEYED: bool> Balanced<KEYED> {
    fn new(upstream: Upstream, strategy: impl Strategy) -> Self {
        let count = upstream.snapshot().members().len() as u32;
        Self {
            middle: id(count / 2),
            balance: Balance::new(&upstream, strategy, ()).with_seed(1),
            upstream,
            keys: Keys::default(),
            _held: Arc::default(),
        }
    }
}

impl<const KEYED: bool> Picks for Balanced<KEYED> {
    fn make(&mut self, picks: u32) {
        self.keys.each::<KEYED>(picks, |key| {
            let mut pick = self.balance.pick(&context(key)).unwrap();
            pick.set_outcome(Outcome::Success);
            drop(black_box(pick));
        });
    }

    fn share(&mut self) -> Option<Box<dyn Picks>> {
        Some(Box::new(Self {
            upstream: self.upstream.clone(),
            middle: self.middle.clone(),
            balance: self.balance.clone(),
            keys: Keys::default(),
            _held: Arc::clone(&self._held),
        }))
    }

    fn writer(&mut self, what: What) -> Option<Box<dyn Writer>> {
        Some(Box::new(Changes {
            upstream: self.upstream.clone(),
            middle: self.middle.clone(),
            what,
            next: Change::new(),
        }))
    }
}

// === impl Bare ===

impl<const KEYED: bool> Picks for Bare<KEYED> {
    fn make(&mut self, picks: u32) {
        self.keys.each::<KEYED>(picks, |key| {
            black_box(self.picker.pick(&context(key), &mut self.random)).unwrap();
        });
    }
}

// === impl Called ===

impl Picks for Called {
    fn make(&mut self, picks: u32) {
        let mut task = Task::from_waker(Waker::noop());
        for _ in 0..picks {
            let Poll::Ready(Ok(())) = Service::<()>::poll_ready(&mut self.0, &mut task) else {
                unreachable!("it is always ready");
            };
            drop(black_box(now(self.0.call(())).unwrap()));
        }
    }

    fn share(&mut self) -> Option<Box<dyn Picks>> {
        Some(Box::new(Self(self.0.clone())))
    }
}

// === impl Nothing ===

impl Service<Picked<()>> for Nothing {
    type Response = Pick;
    type Error = Infallible;
    type Future = Ready<Result<Pick, Infallible>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, picked: Picked<()>) -> Self::Future {
        let ((), mut pick) = picked.into_parts();
        pick.set_outcome(Outcome::Success);
        ready(Ok(pick))
    }
}

// === impl Changes ===

impl Writer for Changes {
    fn prepare(&mut self, n: u32) {
        let middle = self.middle.clone();
        self.next = match self.what {
            What::Weight => Change::new().set_weight(middle, Weight::new(n % 2 + 5).unwrap()),
            What::Health => {
                let health = match n % 2 {
                    0 => Health::Unhealthy,
                    _ => Health::Healthy,
                };
                Change::new().set_health(middle, health, "bench")
            }
        };
    }

    fn publish(&mut self) {
        let update = self.upstream.apply(std::mem::take(&mut self.next));
        drop(black_box(update.unwrap()));
    }
}
