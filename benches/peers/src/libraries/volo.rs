//! Picks by volo: at random by weight, and from a ring. It has no others.

use std::{cell::RefCell, hint::black_box, sync::Arc};

use volo::{
    Layer, METAINFO, Service,
    context::{Context, Endpoint, MetaInfo, Reusable, Role, RpcCx, RpcInfo},
    discovery::{Change, Instance, WeightedStaticDiscover},
    loadbalance::{
        LbConfig, LoadBalance, MkLbLayer, RequestHash,
        consistent_hash::{ConsistentHashBalance, ConsistentHashOption},
        error::{LoadBalanceError, Retryable},
        random::WeightedRandomBalance,
    },
    net::Address,
};

use super::{address, now};
use crate::{Case, Keys, Picks, Weights, What, Writer};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "call_random/volo",
        make: |count| {
            let layer = LbConfig::new(random(), discover(count, Weights::Equal)).make();
            let endpoint = Endpoint::new("bench".into());
            let info = RpcInfo::new(
                Role::Client,
                "call".into(),
                Endpoint::default(),
                endpoint,
                Nothing,
            );
            let mut called = Called {
                service: layer.layer(Nothing),
                context: RpcCx::new(info, ()),
            };
            called.make(1);
            Box::new(called)
        },
    },
    Case {
        name: "weighted_random/volo",
        make: |count| Box::new(Balanced::<false, _>::new(count, Weights::Mixed, random())),
    },
    Case {
        name: "ring_hash/volo",
        make: |count| Box::new(Balanced::<true, _>::new(count, Weights::Equal, ring())),
    },
];

/// Points for each unit of weight, as many as the others have.
const POINTS: u32 = 160;

/// Asks a balancer.
struct Balanced<const KEYED: bool, B> {
    count: u32,
    weights: Weights,
    balancer: Arc<B>,
    discover: Arc<WeightedStaticDiscover>,
    endpoint: Endpoint,
    keys: Keys,
}

/// Calls a balanced service.
struct Called<S> {
    service: S,
    context: Request,
}

type Request = RpcCx<(), Nothing>;

/// The service that answers at once, and the settings of a request that has none.
#[derive(Clone, Debug, Default)]
struct Nothing;

#[derive(Debug)]
struct Failed;

struct Changes<B> {
    middle: u32,
    all: Vec<Arc<Instance>>,
    balancer: Arc<B>,
    what: What,
    next: Vec<Arc<Instance>>,
}

fn random() -> WeightedRandomBalance<()> {
    WeightedRandomBalance::new()
}

fn ring() -> ConsistentHashBalance<()> {
    ConsistentHashBalance::new(ConsistentHashOption::new(1, POINTS, true))
}

fn instance(n: u32, weight: u32) -> Arc<Instance> {
    Arc::new(Instance {
        address: Address::Ip(address(n)),
        weight,
        tags: std::collections::HashMap::new(),
    })
}

fn instances(count: u32, weights: Weights) -> Vec<Arc<Instance>> {
    (0..count).map(|n| instance(n, weights.of(n))).collect()
}

fn discover(count: u32, weights: Weights) -> WeightedStaticDiscover {
    WeightedStaticDiscover::new(instances(count, weights))
}

// === impl Balanced ===

impl<const KEYED: bool, B: LoadBalance<WeightedStaticDiscover>> Balanced<KEYED, B> {
    fn new(count: u32, weights: Weights, balancer: B) -> Self {
        let mut balanced = Self {
            count,
            weights,
            balancer: Arc::new(balancer),
            discover: Arc::new(discover(count, weights)),
            endpoint: Endpoint::new("bench".into()),
            keys: Keys::default(),
        };
        // What it picks from is built at the first pick.
        balanced.make(1);
        balanced
    }

    fn pick(&self) {
        let picker = self.balancer.get_picker(&self.endpoint, &self.discover);
        let address = now(picker).unwrap().next();
        black_box(address.unwrap());
    }
}

impl<const KEYED: bool, B: LoadBalance<WeightedStaticDiscover>> Picks for Balanced<KEYED, B> {
    fn make(&mut self, picks: u32) {
        if KEYED {
            METAINFO.sync_scope(RefCell::new(MetaInfo::new()), || {
                for _ in 0..picks {
                    let hash = RequestHash(self.keys.next_hash());
                    METAINFO.with(|info| info.borrow_mut().insert(hash));
                    self.pick();
                }
            });
        } else {
            (0..picks).for_each(|_| self.pick());
        }
    }

    fn share(&mut self) -> Option<Box<dyn Picks>> {
        Some(Box::new(Self {
            count: self.count,
            weights: self.weights,
            balancer: Arc::clone(&self.balancer),
            discover: Arc::clone(&self.discover),
            endpoint: Endpoint::new("bench".into()),
            keys: Keys::default(),
        }))
    }

    fn writer(&mut self, what: What) -> Option<Box<dyn Writer>> {
        Some(Box::new(Changes {
            middle: self.count / 2,
            all: instances(self.count, self.weights),
            balancer: Arc::clone(&self.balancer),
            what,
            next: Vec::new(),
        }))
    }
}

// === impl Called ===

impl<S> Picks for Called<S>
where
    S: Service<Request, (), Error = Failed> + Send,
{
    fn make(&mut self, picks: u32) {
        for _ in 0..picks {
            black_box(now(self.service.call(&mut self.context, ())).unwrap());
            // The balancer leaves a request alone that has an address already.
            self.context.rpc_info_mut().callee_mut().address = None;
        }
    }
}

// === impl Nothing ===

impl Service<Request, ()> for Nothing {
    type Response = ();
    type Error = Failed;

    async fn call(&self, _: &mut Request, (): ()) -> Result<(), Failed> {
        Ok(())
    }
}

impl Reusable for Nothing {
    fn clear(&mut self) {}
}

// === impl Failed ===

impl From<LoadBalanceError> for Failed {
    fn from(_: LoadBalanceError) -> Self {
        Self
    }
}

impl Retryable for Failed {}

// === impl Changes ===

impl<B: LoadBalance<WeightedStaticDiscover>> Writer for Changes<B> {
    fn prepare(&mut self, n: u32) {
        self.next.clone_from(&self.all);
        let middle = self.middle as usize;
        match self.what {
            What::Weight => self.next[middle] = instance(self.middle, n % 2 + 5),
            What::Health if n.is_multiple_of(2) => drop(self.next.remove(middle)),
            What::Health => (),
        }
    }

    fn publish(&mut self) {
        self.balancer.rebalance(Change {
            key: (),
            all: std::mem::take(&mut self.next),
            added: Vec::new(),
            updated: Vec::new(),
            removed: Vec::new(),
        });
    }
}
