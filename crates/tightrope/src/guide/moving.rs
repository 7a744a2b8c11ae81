//! Moving from nginx, HAProxy or Envoy.
//!
//! What keeps clients where they were, and what is better done otherwise here. The strategies of the
//! modules [`nginx`], [`haproxy`] and [`envoy`] place every key exactly as the servers they are named
//! after, which is tested against recordings of those; so some clients can be moved first, or both
//! run side by side. Where nothing has to match, prefer what the last column says.
//!
//! # nginx
//!
//! | in nginx | the same here | or rather |
//! | --- | --- | --- |
//! | nothing said | [`RoundRobin`]: nginx's order | [`PeakEwma`] |
//! | `least_conn` | [`nginx::LeastConn`] | [`PeakEwma`] |
//! | `ip_hash` | [`nginx::IpHash`] | [`Maglev`] on [`HashOn::client`]: whole addresses, not networks of 256 |
//! | `hash $key` | [`nginx::KeyHash`] | [`Maglev`]: moves fewer keys when a server leaves |
//! | `hash $key consistent` | [`nginx::ConsistentHash`] | [`Maglev`], [`Bounded`] if some keys are hot |
//! | `random`, `random two` | [`nginx::Random`], [`nginx::RandomTwo`] | [`PeakEwma`] |
//! | `weight=3` | [`EndpointSpec::with_weight`] | |
//! | `down` | [`Change::drain`]: what is in flight ends | |
//! | `proxy_pass https://`, `proxy_ssl_name`, `proxy_ssl_trusted_certificate`, `proxy_ssl_certificate` | `ForwardConfig::with_tls`: verified, with SNI, unless told otherwise; nginx does neither by default | |
//!
//! `max_fails`, `fail_timeout`, `backup`, `max_conns`, `slow_start` and `queue` have a page of their own:
//! [`health`](super::health#from-nginx). What `proxy_next_upstream` says is
//! in [`retries`](super::retries#from-nginx).
//!
//! # HAProxy
//!
//! | in HAProxy | the same here | or rather |
//! | --- | --- | --- |
//! | `balance roundrobin`, `static-rr` | [`RoundRobin`]: the same shares, another order | [`PeakEwma`] |
//! | `balance leastconn` | [`LeastRequest::full_scan`]: the same cost, random among equals | [`PeakEwma`] |
//! | `balance random(2)` | [`LeastRequest::new`] | [`PeakEwma`] |
//! | `balance source` | [`haproxy::Source`] | [`Maglev`] on [`HashOn::client`] |
//! | `balance hdr(name)` | [`haproxy::KeyHash`] on the header's value | [`Maglev`] |
//! | `hash-type`, `hash-balance-factor` | [`haproxy::HashType`], `with_hash_balance_factor` | [`Bounded`] |
//! | `balance first` | [`FirstAvailable`], with a limit on each endpoint | |
//! | `inter`, `rise`, `fall`, `slowstart`, `maxconn`, `backup` | see [`health`](super::health#from-haproxy) | |
//! | `server ... ssl ca-file`, `sni`, `crt`, `verify none` | `ForwardConfig::with_tls` | |
//! | `option httpchk`, `tcp-check`, `check-ssl`, `port`, `addr` of a check | `HttpProbe`, `TcpProbe`, `Tls`, `probe::Place` | |
//!
//! # Envoy
//!
//! | in Envoy | the same here | or rather |
//! | --- | --- | --- |
//! | `ROUND_ROBIN`, `RANDOM` | [`RoundRobin`], [`WeightedRandom`] | [`PeakEwma`] |
//! | `LEAST_REQUEST` | [`envoy::LeastRequest`] | [`PeakEwma`] |
//! | `MAGLEV`, `RING_HASH` | [`envoy::Maglev`], [`envoy::RingHash`] | [`Maglev`] |
//! | `hash_balance_factor` | `with_hash_balance_factor` of these two | [`Bounded`] |
//! | `UpstreamTlsContext` | `ForwardConfig::with_tls` | |
//! | subsets of a cluster | [`Only`] around any strategy | |
//! | `health_checks` | `HealthCheck` with `HttpProbe`, `TcpProbe` or `GrpcProbe`; `no_traffic_interval` is `with_idle_interval` | |
//! | `outlier_detection`, priorities, zones, panic, slow start, circuit breakers | see [`health`](super::health#from-envoy) | |
//!
//! [`Bounded`]: crate::balance::Bounded
//! [`Change::drain`]: crate::upstream::Change::drain
//! [`EndpointSpec::with_weight`]: crate::upstream::EndpointSpec::with_weight
//! [`FirstAvailable`]: crate::balance::FirstAvailable
//! [`HashOn::client`]: crate::balance::HashOn::client
//! [`LeastRequest::full_scan`]: crate::balance::LeastRequest::full_scan
//! [`LeastRequest::new`]: crate::balance::LeastRequest::new
//! [`Maglev`]: crate::balance::Maglev
//! [`Only`]: crate::balance::Only
//! [`PeakEwma`]: crate::balance::PeakEwma
//! [`RoundRobin`]: crate::balance::RoundRobin
//! [`WeightedRandom`]: crate::balance::WeightedRandom
//! [`envoy::LeastRequest`]: crate::balance::envoy::LeastRequest
//! [`envoy::Maglev`]: crate::balance::envoy::Maglev
//! [`envoy::RingHash`]: crate::balance::envoy::RingHash
//! [`envoy`]: crate::balance::envoy
//! [`haproxy::HashType`]: crate::balance::haproxy::HashType
//! [`haproxy::KeyHash`]: crate::balance::haproxy::KeyHash
//! [`haproxy::Source`]: crate::balance::haproxy::Source
//! [`haproxy`]: crate::balance::haproxy
//! [`nginx::ConsistentHash`]: crate::balance::nginx::ConsistentHash
//! [`nginx::IpHash`]: crate::balance::nginx::IpHash
//! [`nginx::KeyHash`]: crate::balance::nginx::KeyHash
//! [`nginx::LeastConn`]: crate::balance::nginx::LeastConn
//! [`nginx::RandomTwo`]: crate::balance::nginx::RandomTwo
//! [`nginx::Random`]: crate::balance::nginx::Random
//! [`nginx`]: crate::balance::nginx
