//! What tightrope is measured beside: the same picks by tower, pingora and volo.
//!
//! A [`Case`] is one way to pick in one library, named `subject/library`. Two programs measure them:
//! `cost` runs cases, and `table` runs `cost` and writes the whole as Markdown.
//!
//! ```text
//! cargo build --release --manifest-path benches/peers/Cargo.toml
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- --markdown benches/peers/results.md
//! ```
//!
//! # How fair it is
//!
//! All are compiled together, for release, with `lto = "fat"` and one codegen unit. Each library is
//! used as its users use it, through what it makes public, and where there was a choice it was made
//! in favour of the peer. What a pick is differs all the same:
//!
//! | | a pick is |
//! | --- | --- |
//! | tightrope | `Balance::pick`, [`Outcome::Success`](tightrope_upstream::Outcome), and the end of the pick: availability, in-flight count, and outcome are kept |
//! | tower | readiness, call, and answer of a [p2c balancer](::tower::balance::p2c) around services that answer at once; there is no pick without a call. It is used by one task at a time: two threads share it through a mutex, which is cheaper than the [`Buffer`](::tower::buffer::Buffer) its users take. No weights, no outcome; services have no address |
//! | pingora | `LoadBalancer::select`: health is looked up, the chosen one is cloned. Nothing is counted and nobody is told how it went |
//! | volo | `LoadBalance::get_picker` and one step of it. No health, nothing is counted and nobody is told how it went. The hash of a request is the caller's to make, and is given here for nothing; that it goes by way of a task-local map is volo's |
//!
//! A bare picker (`picker/…`) is the choice alone: [`Picker::pick`](tightrope_balance::Picker) of
//! tightrope, and a `BackendSelection` of pingora. volo's picker is all of it, above.
//!
//! pingora turns on the `test-util` feature of tokio for all who are compiled with it: every look at
//! tokio's clock then tests a flag first, in tightrope and tower.
//!
//! Keys are the same eight bytes for all who hash them. Rings have 160 points an endpoint, what
//! pingora cannot change. Endpoints all weigh the same, but in `weighted_…`: there 1, 2 or 3.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

mod keys;
mod libraries;

use self::keys::Keys;

/// The libraries, in the order of the columns.
pub const LIBRARIES: [&str; 4] = ["tightrope", "tower", "pingora", "volo"];

/// One way to pick in one library.
#[derive(Debug)]
pub struct Case {
    /// `subject/library`.
    pub name: &'static str,
    /// Balances over this many endpoints.
    pub make: fn(u32) -> Box<dyn Picks>,
}

/// A balancer.
pub trait Picks: Send {
    /// Makes this many picks, and ends each well.
    fn make(&mut self, picks: u32);

    /// The same balancer for another thread; `None` where that was not made.
    ///
    /// From then on this one pays for being shared too.
    fn share(&mut self) -> Option<Box<dyn Picks>> {
        None
    }

    /// Who changes one endpoint in the middle; `None` where that was not made.
    fn writer(&mut self, what: What) -> Option<Box<dyn Writer>> {
        let _ = what;
        None
    }
}

/// Changes the endpoints of a balancer.
pub trait Writer: Send {
    /// Prepares the `n`-th change, such as the whole list where a library takes no less.
    fn prepare(&mut self, n: u32);

    /// Publishes it: the next pick sees it.
    fn publish(&mut self);
}

/// What is changed of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Its weight; in tower, which has none, the service for it.
    Weight,
    /// Whether it may be picked: by its health in tightrope, enabled or not in pingora, a member or
    /// not in tower and volo.
    Health,
}

/// What the endpoints weigh.
#[derive(Clone, Copy, Debug)]
enum Weights {
    Equal,
    Mixed,
}

/// All cases.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    let libraries = [
        libraries::tightrope::CASES,
        libraries::tower::CASES,
        #[cfg(feature = "pingora")]
        libraries::pingora::CASES,
        #[cfg(feature = "volo")]
        libraries::volo::CASES,
    ];
    libraries.into_iter().flatten()
}

/// Whether the features let this library be compiled.
#[must_use]
pub fn is_built(library: &str) -> bool {
    cases().any(|case| case.name.ends_with(library))
}

/// The case with this name.
#[must_use]
pub fn case(name: &str) -> Option<&'static Case> {
    cases().find(|case| case.name == name)
}

impl Weights {
    /// What the `n`-th weighs.
    const fn of(self, n: u32) -> u32 {
        match self {
            Self::Equal => 1,
            Self::Mixed => n % 3 + 1,
        }
    }
}
