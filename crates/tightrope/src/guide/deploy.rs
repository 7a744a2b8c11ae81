//! A new version without a lost request.
//!
//! # Beside the old one
//!
//! The server on 8081 runs; the new version was started on 8082, in the group that stands by. It gets
//! the traffic when `/infra/health` has answered `UP`, which is tried ten times, ten seconds apart. The
//! switch is one published snapshot: requests that are under way end on the old server, the next one
//! goes to the new one, and nobody is refused in between.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use tightrope::{
//!     health::{ExpectedBody, HttpProbe, probe},
//!     rollout::{BlueGreen, Gate},
//!     upstream::{Change, Endpoint, EndpointSpec, Group, Upstream},
//! };
//! # use tightrope_test::Origin;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (old, new) = (Origin::start("old").await, Origin::start("new").await);
//! # let (old, new) = (old.address().try_into()?, new.address().try_into()?);
//! let (blue, green) = (Group::new("blue")?, Group::new("green")?);
//! let upstream = Upstream::new("shop");
//! upstream.apply(
//!     Change::new()
//!         .add(EndpointSpec::new(old).with_group(blue.clone()))
//!         .add(EndpointSpec::new(new).with_group(green.clone()))
//!         .activate(blue),
//! )?;
//!
//! let health = HttpProbe::get("/infra/health")?.with_body(ExpectedBody::Contains("UP".into()))?;
//! let health = Arc::new(health);
//! let gate = Gate::new()
//!     .with_tries(10)
//!     .with_interval(Duration::from_secs(10))
//!     .with_check(move |endpoint: Arc<Endpoint>| {
//!         let health = Arc::clone(&health);
//!         async move {
//!             let checked = probe::check(&*health, &endpoint, Duration::from_secs(5)).await;
//!             checked.map_err(|error| error.reason())
//!         }
//!     });
//! let rollout = BlueGreen::new(&upstream, green)
//!     .with_gate(gate)
//!     .with_drain_deadline(Duration::from_secs(30))
//!     .start()?;
//! let rollback = rollout.rollback(); // as quick as the way there, at any time
//! let report = rollout.run().await?;
//! // Nothing is in flight on the old server: it can be stopped.
//! assert!(report.drain().is_some_and(|drain| drain.is_complete()));
//! # drop(rollback);
//! # Ok(())
//! # }
//! ```
//!
//! A group that is not healthy is refused with the reason, and everything stays as it was.
//!
//! With the example proxy it is one line, and one for the way back:
//!
//! ```text
//! curl -X POST 'http://127.0.0.1:9901/upstreams/shop/switch?group=green&wait=drained'
//! curl -X POST  http://127.0.0.1:9901/upstreams/shop/rollback
//! ```
//!
//! # One by one
//!
//! Without a second set of servers, each is taken out, replaced and brought back. `drained` tells when
//! it has ended everything; health checks bring it back when it is up again.
//!
//! ```
//! use std::time::Duration;
//! use tightrope::upstream::{Change, EndpointSpec, Upstream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::new("shop");
//! upstream.apply(
//!     Change::new()
//!         .add(EndpointSpec::new("10.0.0.1:8080".parse()?))
//!         .add(EndpointSpec::new("10.0.0.2:8080".parse()?)),
//! )?;
//! for endpoint in upstream.snapshot().members() {
//!     let id = endpoint.id();
//!     let update = upstream.apply(Change::new().drain(id.clone(), "new version"))?;
//!     let report = update.drained(Duration::from_secs(30)).await;
//!     assert!(report.is_complete(), "still in flight: {:?}", report.remaining);
//!     // Replace the server here, and wait until it is up.
//!     upstream.apply(Change::new().undrain(id.clone(), "new version"))?;
//! }
//! # Ok(())
//! # }
//! ```
