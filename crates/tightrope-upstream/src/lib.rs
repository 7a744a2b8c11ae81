//! The vocabulary of tightrope: endpoints, upstreams, snapshots and their live state.
//!
//! An [`Upstream`] is a named set of [`Endpoint`]s that can be changed at any time. A [`Change`] is
//! a transaction: it is checked, then published whole as one [`Snapshot`], or refused with nothing
//! changed. Each endpoint has one [`Record`] of what is in flight on it and what is known of it,
//! which survives every change that keeps its id.
//!
//! ```
//! use std::time::Duration;
//! use tightrope_upstream::{Change, EndpointSpec, Group, Upstream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (blue, green) = (Group::new("blue")?, Group::new("green")?);
//! let upstream = Upstream::new("shop");
//! upstream.apply(
//!     Change::new()
//!         .add(EndpointSpec::new("127.0.0.1:8081".parse()?).with_group(blue.clone()))
//!         .add(EndpointSpec::new("127.0.0.1:8082".parse()?).with_group(green.clone()))
//!         .activate(blue),
//! )?;
//!
//! // A request is in flight on blue ...
//! let snapshot = upstream.snapshot();
//! let pick = snapshot.members()[0].pick().expect("blue is in service");
//!
//! // ... while all traffic moves to green in one published snapshot.
//! let update = upstream.apply(Change::new().activate(green))?;
//! update.applied().await;
//! assert!(snapshot.members()[0].pick().is_err()); // nothing new reaches blue
//! drop(pick); // the old request ends
//! assert!(update.drained(Duration::from_secs(30)).await.is_complete());
//! # Ok(())
//! # }
//! ```
//!
//! | when you want | use |
//! | --- | --- |
//! | a set of endpoints that can be changed | [`Upstream`], [`Change`], [`EndpointSpec`] |
//! | to know when a change holds, and when the old traffic is gone | [`Update`], [`DrainReport`] |
//! | to read who is there and who is available | [`Snapshot`], [`Availability`], [`Status`] |
//! | to be told of changes | [`Events`] |
//! | endpoints that come to start slowly | [`Ramp`], [`Upstream::begin_ramps`] |
//! | to feed lists from elsewhere | [`Source`] |
//! | to balance in a way of your own | [`Follower`], [`Endpoint::pick`], [`Picked`] |
//! | to say how an attempt ended | [`Outcome`], [`Failure`], [`Classify`] |
//! | to learn from attempts | [`Observer`], [`Record`] |
//!
//! What this crate does not do: choose (that is `tightrope-balance`), probe (`tightrope-health`),
//! forward (`tightrope-proxy`). It knows no HTTP and does no I/O.

mod address;
mod attempt;
mod change;
mod drain;
mod endpoint;
mod error;
mod event;
mod load;
mod name;
mod outcome;
mod patience;
mod picked;
mod places;
mod publish;
mod ramp;
mod reason;
mod record;
mod room;
mod snapshot;
mod source;
mod stage;
mod staged;
mod state;
mod status;
mod sync;
mod upstream;
mod weight;

pub use crate::{
    address::{Address, AddressError},
    attempt::{Attempt, Destination, TakeUnsent, Unsent},
    change::Change,
    drain::{DrainReport, Update},
    endpoint::{Endpoint, EndpointSpec, Metadata},
    error::{ChangeError, PickError, Refusal},
    event::{Event, EventKind, Events, Missed},
    load::{Decay, Observer, Sample, Tick},
    name::{EndpointId, Group, NameError},
    outcome::{Classify, Failed, Failure, Fault, Outcome},
    patience::Patience,
    picked::{Pick, Picked},
    publish::Follower,
    ramp::{Ramp, RampError},
    reason::Reason,
    record::{Record, Totals},
    room::Freed,
    snapshot::Snapshot,
    source::{NextList, Source, SourceError},
    status::{Admin, Availability, Ejection, Health, Status, Verdict},
    upstream::{RampGuard, Upstream},
    weight::{Weight, WeightError},
};
