//! Which strategy.
//!
//! # In short
//!
//! | what matters | choose |
//! | --- | --- |
//! | latency, and nothing else is known | [`PeakEwma`] |
//! | the same, with many clients of many endpoints | [`Aperture`] around it |
//! | the same, and servers can answer probes | [`Prequal`](crate::balance::Prequal) |
//! | answers take as long as what is asked for: reports, long polls, streams | [`LeastRequest`] |
//! | servers report what they can bear | [`orca::WeightedRoundRobin`](crate::balance::orca::WeightedRoundRobin) |
//! | the share must be exact: by count or by weight | [`RoundRobin`] |
//! | a client or a key stays on its server | [`Maglev`], or [`Rendezvous`] for few servers; [`Bounded`] around it if some keys are hot |
//! | as another load balancer does it | [`nginx`](crate::balance::nginx), [`envoy`](crate::balance::envoy), [`haproxy`](crate::balance::haproxy) |
//! | one server, and another only while it is out | [`FirstAvailable`] |
//!
//! If you do not know, take [`PeakEwma`]. The rest of this page shows why.
//!
//! # What they do to latency
//!
//! A simulation runs the pickers of this library against a hundred servers with four workers each and
//! a queue. Work takes 10 ms on average, exponentially distributed; every tenth server is
//! five times slower, and other work on its machine slows each one down now and then: 1.5 times for
//! 15 % of the time, 3 times for 5 %. The balancers do not see each other's requests; the load is 90 % of
//! what the fleet can do. The 99th percentile of latency in milliseconds, by the number of balancers that
//! share the load, where a request is given up after 5,000:
//!
#![cfg_attr(doc, doc = include_str!("strategies.md"))]
//!
#![cfg_attr(doc, doc = include_str!("strategies.svg"))]
//!
//! The oracle knows every queue and how slow each server is at the moment, which nobody can; it shows
//! what there is to gain.
//!
//! - Shares that do not follow the load overrun the slow servers, whatever the number of balancers: a
//!   queue that gets more than it can do only grows.
//! - Counts of requests in flight come near the best for one balancer that looks at all. With a hundred,
//!   each has less than one request on most servers, and a count of 0 or 1 says nothing. The others' requests
//!   show in the latency.
//! - More draws help. Five come near a look at everybody, for a twentieth of the looks, and are what
//!   [`PeakEwma::new`] does; only with a hundred balancers they take half as long again. Looking at all
//!   herds a newcomer's share away: all balancers agree that somebody else is a little better.
//! - With [`Prequal`](crate::balance::Prequal) a hundred balancers do as well as one: its probes tell what
//!   the requests of the others do to a server. They cost three questions a request, and servers that
//!   answer them.
//! - An [`Aperture`] lets each balancer send more to fewer servers, so that it learns more of
//!   each, and saves connections.
//! - A server that fails at once would look idle and quick, and draw whoever looks at load. Its
//!   [penalty](crate::upstream::Record::penalty) keeps it at the few requests that it takes to notice when it
//!   recovers.
//!
//! The same seed gives the same figures: `cargo run --release -p simulation`.
//!
//! # Why it went there
//!
//! [`Balance::explain`](crate::balance::Balance::explain) tells where a request would go, with the score of
//! every endpoint and what keeps the others out, and takes no turn by that. Its text is for logs.
//!
//! # One of your own
//!
//! A [`Strategy`] makes a [`Picker`] for every snapshot; a picker that learns gives an
//! [`Observer`](crate::upstream::Observer) for each endpoint. This one prefers, in order of
//! configuration, an endpoint whose last attempt did not fail:
//!
//! ```
//! use std::sync::{Arc, atomic::{AtomicBool, Ordering::Relaxed}};
//! use tightrope::{
//!     balance::{Balance, Context, Picker, Random, Strategy},
//!     upstream::{Change, Endpoint, EndpointSpec, Failure, Observer, Outcome, Sample, Snapshot, Upstream},
//! };
//!
//! #[derive(Debug, Default)]
//! struct Failed(AtomicBool);
//!
//! impl Observer for Failed {
//!     fn observe(&self, _: &Arc<Endpoint>, sample: &Sample) {
//!         self.0.store(matches!(sample.outcome, Outcome::Failure(_)), Relaxed);
//!     }
//! }
//!
//! struct LastGood;
//!
//! #[derive(Debug)]
//! struct LastGoodPicker {
//!     snapshot: Arc<Snapshot>,
//!     failed: Vec<Arc<Failed>>,
//!     observers: Vec<Arc<dyn Observer>>,
//! }
//!
//! impl Strategy for LastGood {
//!     fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
//!         let failed: Vec<Arc<Failed>> = snapshot.members().iter().map(|_| Arc::default()).collect();
//!         let observers = failed.iter().map(|failed| Arc::clone(failed) as _).collect();
//!         Box::new(LastGoodPicker { snapshot: Arc::clone(snapshot), failed, observers })
//!     }
//! }
//!
//! impl Picker for LastGoodPicker {
//!     fn pick(&self, context: &Context<'_>, _: &mut Random) -> Option<usize> {
//!         let members = self.snapshot.members();
//!         let available = self.snapshot.available().iter().map(|&index| index as usize);
//!         let untried = available.filter(|&index| !context.has_tried(&members[index]));
//!         untried.min_by_key(|&index| self.failed[index].0.load(Relaxed))
//!     }
//!
//!     fn observers(&self) -> &[Arc<dyn Observer>] {
//!         &self.observers
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = Upstream::new("shop");
//! let members = [EndpointSpec::new("10.0.0.1:80".parse()?), EndpointSpec::new("10.0.0.2:80".parse()?)];
//! upstream.apply(Change::new().replace(members))?;
//! let mut balance = Balance::new(&upstream, LastGood, ());
//!
//! let mut first = balance.pick(&Context::new())?;
//! assert_eq!(first.endpoint().id().as_str(), "10.0.0.1:80");
//! first.set_outcome(Outcome::Failure(Failure::Reset));
//! drop(first);
//! assert_eq!(balance.pick(&Context::new())?.endpoint().id().as_str(), "10.0.0.2:80");
//! # Ok(())
//! # }
//! ```
//!
//! [`Aperture`]: crate::balance::Aperture
//! [`Bounded`]: crate::balance::Bounded
//! [`FirstAvailable`]: crate::balance::FirstAvailable
//! [`LeastRequest`]: crate::balance::LeastRequest
//! [`Maglev`]: crate::balance::Maglev
//! [`PeakEwma`]: crate::balance::PeakEwma
//! [`PeakEwma::new`]: crate::balance::PeakEwma::new
//! [`Picker`]: crate::balance::Picker
//! [`Rendezvous`]: crate::balance::Rendezvous
//! [`RoundRobin`]: crate::balance::RoundRobin
//! [`Strategy`]: crate::balance::Strategy
