//! What several tests of this crate need.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{Ipv4Addr, SocketAddr};

use tightrope_balance::{
    Aperture, Bounded, FailOpen, FirstAvailable, Jump, LeastRequest, Maglev, PeakEwma, Prequal,
    Priorities, Rendezvous, RingHash, RoundRobin, Strategy, Subset, WeightedRandom, Zones, envoy,
    haproxy::{self, HashType},
    nginx, orca,
    prequal::{Probe, ProbeFuture, Report},
};
use tightrope_upstream::{
    Address, Attempt, Change, Endpoint, EndpointId, EndpointSpec, Pick, Upstream, Weight,
};

/// The id of the `n`-th endpoint.
pub(crate) fn id(n: usize) -> EndpointId {
    EndpointId::new(&n.to_string()).unwrap()
}

/// The `n`-th endpoint, reached at an address of its own.
pub(crate) fn spec(n: usize, weight: u32) -> EndpointSpec {
    let ip = Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(n).unwrap());
    EndpointSpec::new(Address::Socket(SocketAddr::new(ip.into(), 80)))
        .with_id(id(n))
        .with_weight(Weight::new(weight).unwrap())
}

/// One endpoint for each weight, known as `0`, `1`, `2` ...
pub(crate) fn upstream(weights: &[u32]) -> Upstream {
    let upstream = Upstream::new("test");
    let members = weights.iter().enumerate();
    upstream
        .apply(Change::new().replace(members.map(|(n, &weight)| spec(n, weight))))
        .unwrap();
    upstream
}

/// Which endpoint it is.
pub(crate) fn number(pick: &Pick) -> usize {
    pick.endpoint().id().as_str().parse().unwrap()
}

/// The attempt after others went to these.
pub(crate) fn tried(numbers: &[usize]) -> Attempt {
    let tried = numbers.iter().map(|&n| id(n));
    tried.fold(Attempt::first(), Attempt::next)
}

pub(crate) fn in_flight(upstream: &Upstream) -> usize {
    let snapshot = upstream.snapshot();
    let members = snapshot.members().iter();
    members.map(|member| member.record().in_flight()).sum()
}

/// Says of everybody that nothing is to be done there.
pub(crate) struct Idle;

impl Probe for Idle {
    fn probe<'a>(&'a self, _: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(async { Ok(Report::new(0)) })
    }
}

pub(crate) type Make = fn() -> Box<dyn Strategy>;

/// Every strategy of the crate.
pub(crate) const STRATEGIES: [(&str, Make); 36] = [
    ("round_robin", || Box::new(RoundRobin::new())),
    ("weighted_random", || Box::new(WeightedRandom::new())),
    ("first_available", || Box::new(FirstAvailable::new())),
    ("least_request", || Box::new(LeastRequest::new())),
    ("least_request_of_4", || {
        Box::new(LeastRequest::with_choices(4))
    }),
    ("least_request_of_all", || {
        Box::new(LeastRequest::full_scan())
    }),
    ("peak_ewma", || Box::new(PeakEwma::new())),
    ("peak_ewma_of_2", || Box::new(PeakEwma::with_choices(2))),
    ("peak_ewma_of_all", || Box::new(PeakEwma::full_scan())),
    ("prequal_without_prober", || Box::new(Prequal::new(Idle).0)),
    ("aperture_of_peak_ewma", || {
        Box::new(Aperture::new(PeakEwma::new(), 1, 3).with_endpoints(2))
    }),
    ("subset_of_round_robin", || {
        Box::new(Subset::new(RoundRobin::new(), "a", 2))
    }),
    ("orca", || Box::new(orca::WeightedRoundRobin::new())),
    ("ip_hash", || Box::new(nginx::IpHash::new())),
    ("key_hash", || Box::new(nginx::KeyHash::new())),
    ("nginx_consistent_hash", || {
        Box::new(nginx::ConsistentHash::new())
    }),
    ("nginx_least_conn", || Box::new(nginx::LeastConn::new())),
    ("nginx_random", || Box::new(nginx::Random::new())),
    ("nginx_random_two", || Box::new(nginx::RandomTwo::new())),
    ("maglev", || Box::new(Maglev::new().with_table_size(1_000))),
    ("ring_hash", || {
        Box::new(RingHash::new().with_points_per_weight(10))
    }),
    ("rendezvous", || Box::new(Rendezvous::new())),
    ("jump", || Box::new(Jump::new())),
    ("bounded_maglev", || {
        Box::new(Bounded::new(Maglev::new().with_table_size(1_000)))
    }),
    ("bounded_rendezvous", || {
        Box::new(Bounded::new(Rendezvous::new()))
    }),
    ("envoy_maglev", || {
        Box::new(envoy::Maglev::new().with_table_size(1_000))
    }),
    ("envoy_ring_hash", || {
        Box::new(envoy::RingHash::new().with_maximum_ring_size(10_000))
    }),
    ("envoy_least_request", || {
        Box::new(envoy::LeastRequest::new())
    }),
    ("envoy_bounded_maglev", || {
        let strategy = envoy::Maglev::new().with_table_size(1_000);
        Box::new(strategy.with_hash_balance_factor(125))
    }),
    ("haproxy_source_hash", || {
        Box::new(haproxy::Source::new(HashType::map_based()))
    }),
    ("haproxy_map_hash", || {
        Box::new(haproxy::KeyHash::new(HashType::map_based()))
    }),
    ("haproxy_hash", || {
        Box::new(haproxy::KeyHash::new(HashType::consistent()))
    }),
    ("haproxy_bounded_hash", || {
        let strategy = haproxy::KeyHash::new(HashType::consistent());
        Box::new(strategy.with_hash_balance_factor(125))
    }),
    ("priorities_of_least_request", || {
        Box::new(Priorities::new(LeastRequest::new))
    }),
    ("zones_of_round_robin", || {
        Box::new(Zones::new("a", RoundRobin::new))
    }),
    ("fail_open", || Box::new(FailOpen::new(LeastRequest::new()))),
];

/// Asserts that each got its share by weight, within five standard deviations of a random draw.
#[track_caller]
pub(crate) fn assert_shares(what: &str, got: &[u32], weights: &[u32]) {
    let picks = f64::from(got.iter().sum::<u32>());
    let total = f64::from(weights.iter().sum::<u32>());
    for (&got, &weight) in got.iter().zip(weights) {
        let share = f64::from(weight) / total;
        let bound = 5.0 * (picks * share * (1.0 - share)).sqrt() + 1.0;
        let off = (f64::from(got) - picks * share).abs();
        assert!(
            off <= bound,
            "{what}: {got} of {picks} for {weight} of {total}"
        );
        assert!(weight > 0 || got == 0, "{what}: weight 0 got {got}");
    }
}
