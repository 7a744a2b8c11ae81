//! Nothing sick gets traffic, nothing healthy is lost, and everything comes back.
//!
//! # Who says what
//!
//! Four things keep a request away from an endpoint, and none of them knows of the others:
//!
//! | | says who | ends by |
//! | --- | --- | --- |
//! | draining | you, a rollout | you |
//! | unhealthy | probes, and connections of live traffic that could not be made | `rise` probes that pass |
//! | ejected | how requests end | its time, then one attempt that decides; or a probe that passes |
//! | full | a limit that you set | any request that ends |
//!
//! The first three are verdicts, each with a reason and an age, in the
//! [`Status`](crate::upstream::Status) of the endpoint and in [`Events`](crate::upstream::Events). The
//! first of them that speaks against it counts. The last is no verdict: it changes with every request
//! and says nothing of health.
//!
//! A strategy that looks at load adds something of its own: an endpoint that fails counts as busier
//! ([`Record::penalty`](crate::upstream::Record::penalty)), so it draws less even before anybody
//! ejected it.
//!
//! # What to begin with
//!
//! Probes every second or two, ejection with its defaults, and [`PeakEwma`](crate::balance::PeakEwma):
//!
//! ```
//! use std::time::Duration;
//! use tightrope::{
//!     balance::{Balance, PeakEwma},
//!     health::{
//!         ExpectedBody, HealthCheck, HttpProbe, ObserveLayer, SlowStart, outlier::OutlierDetection,
//!     },
//!     proxy::{Forward, ForwardConfig, HttpClassify},
//!     upstream::{Change, EndpointSpec, Ramp, Upstream},
//! };
//! use tower::Layer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::new("shop");
//! upstream.apply(Change::new().replace([
//!     EndpointSpec::new("10.0.0.1:8080".parse()?),
//!     EndpointSpec::new("10.0.0.2:8080".parse()?),
//! ]))?;
//!
//! // Each task ends when it is dropped.
//! let probe = HttpProbe::get("/infra/health")?.with_body(ExpectedBody::Contains("UP".into()))?;
//! let health = HealthCheck::new(&upstream, probe)
//!     .with_interval(Duration::from_secs(1))?
//!     .with_rise(1)?
//!     .spawn();
//! let outliers = OutlierDetection::new(&upstream).spawn();
//! let slow_start = SlowStart::spawn(&upstream, Ramp::new(Duration::from_secs(30))?);
//!
//! // Both hear how every attempt ends.
//! let listeners = (health.live_reports(), outliers.reports());
//! let forward = ObserveLayer::new(listeners, HttpClassify).layer(Forward::new(ForwardConfig::new()));
//! let balance = Balance::new(&upstream, PeakEwma::new(), forward);
//! # drop((slow_start, balance));
//! # Ok(())
//! # }
//! ```
//!
//! Then, by what you see:
//!
//! - **A killed server costs requests.** It should not: connections that fail go to another endpoint
//!   ([`retries`](super::retries)), and `fall` of them take it out before the next probe. If it does, the observing layer is
//!   missing.
//! - **A server that hangs costs requests.** Those that are in it when it hangs wait for the time limit
//!   of the forwarding service, and go elsewhere then if they may be sent twice; make it as short as your slowest honest answer. Probes notice after
//!   `fall` times the interval plus the timeout.
//! - **A server is out although it is well.** Look at the reason. By a success rate: few endpoints with few
//!   requests are compared with each other; raise the `Volume`, or switch
//!   [`with_enforcement`](crate::health::outlier::OutlierDetection::with_enforcement) to 0 and read the
//!   [counts](crate::health::outlier::OutlierTask::counts) for a day first.
//! - **All go bad together, and the rest is overrun.** That is what the cap of one in ten is for. If probes
//!   take them out, [`FailOpen::with_panic_threshold`](crate::balance::FailOpen::with_panic_threshold).
//! - **A server that comes back falls over again.** Slow start, and a limit on its requests in flight.
//! - **Probes pass and requests fail.** The probe asks for too little. Until it asks for more,
//!   [`HealthCheck::with_restore`](crate::health::HealthCheck::with_restore) keeps it from ending ejections.
//!
//! # When there is too much
//!
//! A limit on an endpoint sends what is over to others; a limit on the upstream refuses it. With a
//! [`Queue`](crate::balance::Queue) it waits instead, in order, for so long and not longer:
//!
//! ```
//! use std::{num::{NonZeroU32, NonZeroUsize}, time::Duration};
//! use tightrope::{
//!     balance::{Balance, LeastRequest, Queue},
//!     upstream::{Change, EndpointSpec, Upstream},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::new("reports");
//! let ten = NonZeroU32::try_from(10)?;
//! upstream.apply(
//!     Change::new()
//!         .add(EndpointSpec::new("10.0.0.1:8080".parse()?).with_max_in_flight(ten))
//!         .add(EndpointSpec::new("10.0.0.2:8080".parse()?).with_max_in_flight(ten)),
//! )?;
//! let queue = Queue::new(NonZeroUsize::try_from(100)?, Duration::from_secs(2));
//! let balance = Balance::new(&upstream, LeastRequest::new(), ()).with_queue(queue);
//! # drop(balance);
//! # Ok(())
//! # }
//! ```
//!
//! A queue is for bursts: as long as the burst, and with a time that its clients would wait. A queue that
//! is always in use only makes every answer later. Where a key must be served by its own endpoint,
//! [`WhenFull::Stay`](crate::balance::WhenFull::Stay) lets its requests wait for that one.
//!
//! # From nginx
//!
//! ```text
//! upstream shop {
//!     server 10.0.0.1:8080 max_fails=3 fail_timeout=10s max_conns=100;
//!     server 10.0.0.2:8080 max_fails=3 fail_timeout=10s;
//!     server 10.0.0.3:8080 backup;
//! }
//! ```
//!
//! ```
//! use std::{num::NonZeroU32, time::Duration};
//! use tightrope::{
//!     balance::{Balance, Priorities, RoundRobin},
//!     health::outlier::OutlierDetection,
//!     upstream::{Change, EndpointSpec, Upstream},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::new("shop");
//! upstream.apply(Change::new().replace([
//!     EndpointSpec::new("10.0.0.1:8080".parse()?).with_max_in_flight(NonZeroU32::try_from(100)?),
//!     EndpointSpec::new("10.0.0.2:8080".parse()?),
//!     EndpointSpec::new("10.0.0.3:8080".parse()?).with_priority(1),
//! ]))?;
//! let marks = OutlierDetection::nginx(&upstream, 3, Duration::from_secs(10))?.spawn();
//! let strategy = Priorities::new(RoundRobin::new).without_spill();
//! let balance = Balance::new(&upstream, strategy, ());
//! # drop((marks, balance));
//! # Ok(())
//! # }
//! ```
//!
//! For the example proxy:
//!
//! ```toml
//! [[upstream]]
//! name = "shop"
//! over_provisioning = 0        # backups only when nobody else is left
//! [upstream.outlier]
//! consecutive_failures = 0
//! success_rate_deviations = 0.0
//! local_failures = 3           # max_fails; with `proxy_next_upstream http_500` consecutive_failures instead
//! memory = "10s"               # fail_timeout, here and below
//! base_time = "10s"
//! max_time = "10s"
//! max_ejected = 1.0
//! min_available = 0
//! ```
//!
//! | in nginx | here |
//! | --- | --- |
//! | out after `max_fails` within `fail_timeout`, for `fail_timeout` | the same, to the second |
//! | then one request is let through | the same: it is on trial |
//! | all out: 502 `no live upstreams` | the same: 503. [`FailOpen`](crate::balance::FailOpen) tries them all the same |
//! | the only server of a group is never out | the same |
//! | round robin and `least_conn` after a failure: a lowered weight that grows back | not so: the order is as before, over those that are left |
//! | no probes, unless bought | a [`HealthCheck`](crate::health::HealthCheck) beside it, whose passes bring a server back at once |
//! | `slow_start=30s`, where bought | [`SlowStart`](crate::health::SlowStart), which starts at 10 % |
//! | `queue 100 timeout=70s`, where bought | [`Queue`](crate::balance::Queue) |
//!
//! # From HAProxy
//!
//! ```text
//! backend shop
//!     option httpchk GET /infra/health
//!     default-server inter 2s fastinter 500ms downinter 5s rise 2 fall 3 slowstart 30s maxconn 100
//!     timeout queue 2s
//!     server a 10.0.0.1:8080 check observe layer7 error-limit 10 on-error mark-down
//!     server b 10.0.0.2:8080 check
//!     server c 10.0.0.3:8080 check backup
//! ```
//!
//! | in HAProxy | here |
//! | --- | --- |
//! | `inter`, `rise`, `fall` | [`HealthCheck`](crate::health::HealthCheck) `with_interval`, `with_rise`, `with_fall`: the same defaults |
//! | `fastinter`, `downinter` | `with_changing_interval`, `with_unhealthy_interval` |
//! | `init-state down` | [`Upstream::with_initial_health`](crate::upstream::Upstream::with_initial_health) |
//! | `observe layer4`, `error-limit` | connect failures of live traffic count towards `fall`; `with_local_failures` for a limit of its own |
//! | `observe layer7`, `error-limit 10`, `on-error mark-down` | `with_consecutive_failures(Some(10))`: for a time, not until the next probe |
//! | `slowstart 30s` | [`SlowStart`](crate::health::SlowStart): from 10 % rather than 0, for those that are added too, and at every step rather than at every check |
//! | `maxconn` | [`with_max_in_flight`](crate::upstream::EndpointSpec::with_max_in_flight); `minconn` and `fullconn` have no equivalent |
//! | `maxqueue`, `timeout queue` | [`Queue`](crate::balance::Queue), one for all servers |
//! | sticky sessions wait for their server | [`WhenFull::Stay`](crate::balance::WhenFull::Stay) |
//! | `backup` | [`Priorities`](crate::balance::Priorities) `without_spill`, each backup with a priority of its own; with `option allbackups` all with the same |
//! | an agent's `drain`, `maint`, weight | [`Change::drain`](crate::upstream::Change::drain), [`Change::set_weight`](crate::upstream::Change::set_weight), from whatever speaks with it |
//!
//! # From Envoy
//!
//! ```text
//! outlier_detection:
//!   consecutive_5xx: 5
//!   base_ejection_time: 30s
//!   max_ejection_percent: 10
//!   success_rate_minimum_hosts: 5
//!   success_rate_request_volume: 100
//!   success_rate_stdev_factor: 1900
//! common_lb_config:
//!   healthy_panic_threshold: { value: 50 }
//!   zone_aware_lb_config: { min_cluster_size: 6 }
//! ```
//!
//! These are the defaults of both. [`outlier`](crate::health::outlier) names what differs.
//!
//! | in Envoy | here |
//! | --- | --- |
//! | `consecutive_5xx`, `consecutive_gateway_failure` | `with_consecutive_failures`, `with_gateway_failures` |
//! | `split_external_local_origin_errors`, `consecutive_local_origin_failure` | `with_local_failures`, which splits them |
//! | `success_rate_*` | [`SuccessRate`](crate::health::outlier::SuccessRate), which also takes five failures |
//! | `enforcing_…: 0` | `with_enforcement(detector, 0.0)`, with counts of what would have been |
//! | `interval`, `base_ejection_time`, `max_ejection_time`, `max_ejection_time_jitter` | `with_interval`, `with_times`, `with_jitter` |
//! | `max_ejection_percent`, `always_eject_one_host` | `with_max_ejected`, which always allows one, and never the last |
//! | `successful_active_health_check_uneject_host` | [`HealthCheck::with_restore`](crate::health::HealthCheck::with_restore) |
//! | priorities, `overprovisioning_factor` | [`Priorities`](crate::balance::Priorities), `with_over_provisioning` |
//! | `healthy_panic_threshold` | `with_panic_threshold` of [`FailOpen`](crate::balance::FailOpen) or `Priorities`: 0 unless you say otherwise |
//! | `zone_aware_lb_config` | [`Zones`](crate::balance::Zones) |
//! | `slow_start_config` | [`Ramp`](crate::upstream::Ramp), with the same curve, for every strategy |
//! | circuit breakers: `max_requests` | [`Change::limit_in_flight`](crate::upstream::Change::limit_in_flight) |
//! | `max_pending_requests` | the places of a [`Queue`](crate::balance::Queue), which has a time limit too |
