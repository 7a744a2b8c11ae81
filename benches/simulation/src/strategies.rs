//! What is compared.

use std::sync::Arc;

use tightrope::balance::{
    Aperture, LeastRequest, PeakEwma, Prequal, RoundRobin, Strategy, WeightedRandom,
};

use crate::{fleet::Seen, oracle::Oracle, probing::Probing, workload::Workload};

/// A strategy, and how to make one for a balancer.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) make: fn(Balancer<'_>) -> Box<dyn Strategy>,
    /// Whether it looks at how busy an endpoint is, so that one that fails at once could attract it.
    pub(crate) is_load_aware: bool,
}

/// Whom a strategy is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Balancer<'a> {
    pub(crate) index: usize,
    pub(crate) workload: &'a Workload,
    pub(crate) seen: &'a Arc<[Seen]>,
    pub(crate) probing: &'a Probing,
}

fn aperture<T>(inner: T, balancer: Balancer<'_>) -> Aperture<T> {
    Aperture::new(inner, balancer.index, balancer.workload.balancers)
}

fn prequal(balancer: Balancer<'_>) -> Prequal {
    let Balancer {
        index,
        workload,
        probing,
        ..
    } = balancer;
    let seed = workload.seed ^ (index as u64) << 32;
    let (strategy, prober) = Prequal::builder().with_seed(seed).build(probing.line());
    probing.spawn(prober);
    strategy
}

const fn blind(name: &'static str, make: fn(Balancer<'_>) -> Box<dyn Strategy>) -> Named {
    Named {
        name,
        make,
        is_load_aware: false,
    }
}

const fn aware(name: &'static str, make: fn(Balancer<'_>) -> Box<dyn Strategy>) -> Named {
    Named {
        name,
        make,
        is_load_aware: true,
    }
}

pub(crate) const STRATEGIES: &[Named] = &[
    blind("round robin", |_| Box::new(RoundRobin::new())),
    blind("weighted random", |_| Box::new(WeightedRandom::new())),
    aware("least request of 2", |_| Box::new(LeastRequest::new())),
    aware("least request of 5", |_| {
        Box::new(LeastRequest::with_choices(5))
    }),
    aware("least request of all", |_| {
        Box::new(LeastRequest::full_scan())
    }),
    aware("peak EWMA of 2", |_| Box::new(PeakEwma::with_choices(2))),
    aware("peak EWMA of 5", |_| Box::new(PeakEwma::new())),
    aware("peak EWMA of 8", |_| Box::new(PeakEwma::with_choices(8))),
    aware("peak EWMA of all", |_| Box::new(PeakEwma::full_scan())),
    aware("aperture, 2 on least request", |balancer| {
        Box::new(aperture(LeastRequest::new(), balancer))
    }),
    aware("aperture, 2 on peak EWMA", |balancer| {
        Box::new(aperture(PeakEwma::with_choices(2), balancer))
    }),
    aware("aperture, 5 on peak EWMA", |balancer| {
        Box::new(aperture(PeakEwma::new(), balancer))
    }),
    aware("Prequal", |balancer| Box::new(prequal(balancer))),
    blind("oracle", |balancer| {
        Box::new(Oracle(Arc::clone(balancer.seen)))
    }),
];
