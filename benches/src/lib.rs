//! What the benchmarks of tightrope share: sets of endpoints, the strategies to choose by, and
//! attempts that somebody listens to.
//!
//! One criterion target for each subject, in `benches/`; run one with
//! `cargo bench -p tightrope-benches --bench pick`.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a benchmark may panic"
)]

pub mod outcome;

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use criterion::measurement::{Measurement, WallTime};
use tightrope_balance::{
    Bounded, Context, FailOpen, Jump, LeastRequest, Maglev, PeakEwma, Rendezvous, RingHash,
    RoundRobin, Strategy, WeightedRandom, envoy, nginx,
};
use tightrope_upstream::{Address, Change, EndpointSpec, Upstream, Weight};

/// Makes a strategy.
pub type Make = fn() -> Box<dyn Strategy>;

/// Every strategy with its default settings, by name.
pub const STRATEGIES: [(&str, Make); 17] = [
    ("round_robin", || Box::new(RoundRobin::new())),
    ("weighted_random", || Box::new(WeightedRandom::new())),
    ("least_request", || Box::new(LeastRequest::new())),
    ("least_request_of_all", || {
        Box::new(LeastRequest::full_scan())
    }),
    ("peak_ewma_of_2", || Box::new(PeakEwma::with_choices(2))),
    ("peak_ewma", || Box::new(PeakEwma::new())),
    ("fail_open", || Box::new(FailOpen::new(LeastRequest::new()))),
    ("nginx_ip_hash", || Box::new(nginx::IpHash::new())),
    ("nginx_key_hash", || Box::new(nginx::KeyHash::new())),
    ("envoy_maglev", || Box::new(envoy::Maglev::new())),
    ("envoy_ring_hash", || Box::new(envoy::RingHash::new())),
    ("maglev", || Box::new(Maglev::new())),
    ("ring_hash", || Box::new(RingHash::new())),
    ("rendezvous", || Box::new(Rendezvous::new())),
    ("jump", || Box::new(Jump::new())),
    ("bounded_maglev", || Box::new(Bounded::new(Maglev::new()))),
    ("bounded_ring_hash", || {
        Box::new(Bounded::new(RingHash::new()))
    }),
];

/// The `n`-th endpoint, of weight 1, 2 or 3.
#[must_use]
pub fn spec(n: u32) -> EndpointSpec {
    let ip = Ipv4Addr::from_bits(0x0a00_0000 + n);
    let address = Address::try_from(SocketAddr::from((ip, 80))).unwrap();
    EndpointSpec::new(address).with_weight(Weight::new(n % 3 + 1).unwrap())
}

/// This many endpoints.
#[must_use]
pub fn upstream(count: u32) -> Upstream {
    let upstream = Upstream::new("bench");
    upstream
        .apply(Change::new().replace((0..count).map(spec)))
        .unwrap();
    upstream
}

/// What is known of the `n`-th request: a client and the key in `key`, which it writes.
pub fn context(n: u32, key: &mut [u8; 8]) -> Context<'_> {
    // Spread over all clients: neighbours would share most of what is hashed.
    let n = n.wrapping_mul(0x9e37_79b1);
    *key = (u64::from(n) << 16 | 7).to_be_bytes();
    Context::new()
        .with_client(Ipv4Addr::from_bits(n).into())
        .with_key(key)
}

/// The time in which each of two threads makes this many calls, by what `caller` makes for it.
pub fn together(calls: u64, caller: impl Fn() -> Box<dyn FnMut() + Send>) -> Duration {
    let callers: Vec<_> = (0..2).map(|_| caller()).collect();
    let start = WallTime.start();
    thread::scope(|scope| {
        for mut caller in callers {
            scope.spawn(move || (0..calls).for_each(|_| caller()));
        }
    });
    WallTime.end(start)
}
