//! Zero-downtime deployment: blue/green with a gate, a drain and a way back.
//!
//! The new version stands by in a group of its own, next to the one that serves. A [`BlueGreen`] rollout waits until
//! that group is fit, gives it all traffic in one published snapshot, watches how it does, and waits until nothing is
//! in flight on the old group any more, so that it can be stopped. A [`Rollback`] goes back at any time.
//!
//! ```
//! use std::time::Duration;
//!
//! use tightrope_rollout::{BlueGreen, Gate, Verify};
//! use tightrope_upstream::{Change, EndpointSpec, Group, Upstream};
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let (blue, green) = (Group::new("blue")?, Group::new("green")?);
//!     let upstream = Upstream::new("shop");
//!     upstream.apply(
//!         Change::new()
//!             .add(EndpointSpec::new("127.0.0.1:8081".parse()?).with_group(blue.clone()))
//!             .add(EndpointSpec::new("127.0.0.1:8082".parse()?).with_group(green.clone()))
//!             .activate(blue),
//!     )?;
//!
//!     let rollout = BlueGreen::new(&upstream, green.clone())
//!         .with_gate(Gate::new().with_tries(5))
//!         .with_verify(Verify::new(Duration::from_secs(60)))
//!         .with_drain_deadline(Duration::from_secs(20))
//!         .start()?;
//!     let rollback = rollout.rollback();
//!
//!     let report = rollout
//!         .with_progress(|step| eprintln!("{:?} after {:?}", step.step, step.took))
//!         .run()
//!         .await?;
//!     assert!(report.drain().is_some_and(|drain| drain.is_complete()));
//!     assert_eq!(upstream.snapshot().active_group(), Some(&green));
//!
//!     // An hour later somebody wants the old version back: as quick as the way there.
//!     rollback.now("prices are wrong")?.applied().await;
//!     assert_ne!(upstream.snapshot().active_group(), Some(&green));
//!     Ok(())
//! }
//! ```
//!
//! | when you want to | use |
//! | --- | --- |
//! | move all traffic to another group | [`BlueGreen`], [`Rollout`] |
//! | say when that group is fit for it | [`Gate`], [`Check`], [`Share`] |
//! | go back by itself when live traffic fails | [`Verify`] |
//! | go back by hand | [`Rollback`] |
//! | know what happened and how long it took | [`StepReport`], [`Report`], [`RolloutError`] |
//!
//! There are no feature flags.
//!
//! # What it does not do
//!
//! It does not start or stop servers, does not probe by itself (give a [`Check`], or let a health checker write its
//! verdicts into the upstream), and does not split traffic between groups.

mod blue_green;
mod check;
mod error;
mod gate;
mod plan;
mod share;
mod step;
mod switch;
mod verify;

pub use crate::{
    blue_green::BlueGreen,
    check::{Check, Checked},
    error::{RollbackError, RolloutError},
    gate::Gate,
    plan::Rollout,
    share::{Share, ShareError},
    step::{Report, Step, StepReport, Unfit},
    switch::Rollback,
    verify::Verify,
};
