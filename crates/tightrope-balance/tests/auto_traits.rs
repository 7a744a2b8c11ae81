//! What may be sent, shared and moved.

use tightrope_balance::{
    Balance, BalanceError, BalanceLayer, Bounded, Context, FailOpen, HashOn, Jump, LeastRequest,
    Maglev, NoContext, Prequal, Queue, Rendezvous, RingHash, RoundRobin, WeightedRandom, WhenFull,
    envoy, haproxy,
    in_flight::{OkIsSuccess, PerEndpoint, UntilResponse},
    nginx,
    prequal::{Meter, Metered, PrequalBuilder, PrequalError, Prober, Report},
    service,
};

/// A service whose response may be sent and shared.
type Inner = tower::util::ServiceFn<
    fn(tightrope_upstream::Picked<u32>) -> std::future::Ready<Result<(), std::io::Error>>,
>;

const fn everything<T: Send + Sync + Unpin + 'static>() {}

const fn spawnable<T: Future + Send + Unpin + 'static>() {}

#[test]
fn everything_may_be_sent_shared_and_moved() {
    everything::<Balance<(), NoContext>>();
    everything::<BalanceLayer>();
    everything::<BalanceError<std::io::Error>>();
    everything::<Context<'static>>();
    everything::<tightrope_balance::Random>();
    everything::<service::ResponseFuture<Inner, NoContext, u32>>();
    everything::<Queue>();
    everything::<WhenFull>();
    everything::<RoundRobin>();
    everything::<WeightedRandom>();
    everything::<LeastRequest>();
    everything::<FailOpen<RoundRobin>>();
    everything::<HashOn>();
    everything::<Maglev>();
    everything::<RingHash>();
    everything::<Rendezvous>();
    everything::<Jump>();
    everything::<Bounded<Maglev>>();
    everything::<envoy::Maglev>();
    everything::<envoy::RingHash>();
    everything::<haproxy::HashType>();
    everything::<haproxy::KeyHash>();
    everything::<haproxy::Source>();
    everything::<nginx::ConsistentHash>();
    everything::<nginx::LeastConn>();
    everything::<nginx::Random>();
    everything::<nginx::RandomTwo>();
    everything::<nginx::IpHash>();
    everything::<nginx::KeyHash>();
    everything::<Prequal>();
    everything::<PrequalBuilder>();
    everything::<PrequalError>();
    everything::<Meter>();
    everything::<Metered>();
    everything::<Report>();
    spawnable::<Prober>();
    everything::<PerEndpoint<(), ()>>();
    everything::<OkIsSuccess>();
    everything::<UntilResponse>();
}
