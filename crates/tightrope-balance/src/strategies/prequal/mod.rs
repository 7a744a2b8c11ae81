//! What [`Prequal`](crate::Prequal) is made of: the probes of a balancer and the meter of a server.

mod meter;
mod picker;
mod pool;
mod probe;
mod prober;
mod recent;
mod settings;
mod shared;
mod targets;

use std::{fmt, sync::Arc};

use tightrope_upstream::Snapshot;

pub use self::{
    meter::{Meter, Metered},
    probe::{Probe, ProbeFuture, Report},
    prober::Prober,
    settings::{PrequalBuilder, PrequalError},
};
use self::{picker::PrequalPicker, shared::Shared, targets::Targets};
use crate::{Picker, Strategy};

/// To the quickest of those that say they are not too busy: endpoints are asked, ahead of time and
/// beside the requests, how many requests they have in flight and how long their answers take.
///
/// For every request a [`Prober`] asks three endpoints, drawn by weight, and keeps what they say in
/// a pool of at most 16 [reports](Report). A pick looks at the pool alone and waits for nobody. An
/// endpoint is hot if it has more requests in flight than the others mostly have. If any is cold,
/// the cold one with the lowest latency gets the request; if all are hot, the one with the fewest
/// in flight. That is what it knows from all balancers together, and it is as old as a few
/// requests, so many balancers that do not see each other do not run to the same endpoint.
///
/// A report is used once or, where probes bring too few, a few times, and counts each use as one
/// more request in flight. It is forgotten after 1 s, or when the pool has newer ones: for every
/// request one report goes, the oldest or the worst in turn. Where fewer than two reports may be
/// used (at the start, after a pause, when probes fail) two endpoints are drawn and the less busy
/// taken, as by [`LeastRequest`](crate::LeastRequest).
///
/// An endpoint that fails counts as busier and slower by its
/// [penalty](tightrope_upstream::Record::penalty). Requests in flight are relative to the weight,
/// and both the probes and the draws follow the weights: an endpoint of twice the weight is asked
/// twice as often and may be twice as busy. Latencies are compared as they are.
///
/// A pick looks at 16 reports and finds each by a binary search. A pool has about 2 KiB; and there
/// are 32 bytes an endpoint for draws and to find it. A probe costs a task's share of work, and an
/// answer at the server.
///
/// Do not choose it where servers cannot be made to answer probes, or cannot do so in well under the
/// time of a request; where there are so few that everybody knows all of them, as one or two
/// balancers do of their own requests ([`PeakEwma`](crate::PeakEwma) needs no probes); nor where there
/// is less than a request or so a second, for reports are then gone before they are used.
///
/// Source: B. Wydrowski, R. Kleinberg, S. M. Rumble, A. Archer, "Load is not what you should balance:
/// Introducing Prequal" (NSDI 2024).
///
/// ```
/// use std::time::Duration;
/// use tightrope_balance::{
///     Balance, Prequal,
///     prequal::{Meter, Probe, ProbeFuture},
/// };
/// use tightrope_upstream::{Endpoint, Upstream};
///
/// /// Asks a server that is in the same process; yours will ask over the network.
/// struct Ask(Meter);
///
/// impl Probe for Ask {
///     fn probe<'a>(&'a self, _: &'a Endpoint) -> ProbeFuture<'a> {
///         Box::pin(async { Ok(self.0.report()) })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let upstream = Upstream::new("shop");
/// let (strategy, prober) = Prequal::builder()
///     .with_timeout(Duration::from_millis(3))
///     .build(Ask(Meter::new()));
/// let balance = Balance::new(&upstream, strategy, ());
/// let probing = tokio::spawn(prober);
///
/// drop(balance);
/// probing.await.expect("it ends with the balancer");
/// # }
/// ```
pub struct Prequal {
    shared: Arc<Shared>,
}

// === impl Prequal ===

impl Prequal {
    /// The strategy, and what sends its probes by `probe`: to be spawned. Without it picks do
    /// without reports.
    pub fn new(probe: impl Probe) -> (Self, Prober) {
        Self::builder().build(probe)
    }

    /// With other settings.
    pub fn builder() -> PrequalBuilder {
        PrequalBuilder::default()
    }
}

impl Strategy for Prequal {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let targets = Targets::new(snapshot).map(Arc::new);
        self.shared.aim(targets.clone());
        Box::new(PrequalPicker {
            shared: Arc::clone(&self.shared),
            targets,
        })
    }
}

impl Drop for Prequal {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl fmt::Debug for Prequal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prequal").finish_non_exhaustive()
    }
}
