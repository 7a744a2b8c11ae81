//! Attempts whose outcomes are told to nobody, to probes, to detectors, or to both.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, pending, ready},
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tightrope_health::{
    HealthCheck, HealthTask, ObserveLayer, Probe,
    outlier::{LatencyFactor, OutlierDetection, OutlierTask},
    probe::ProbeFuture,
};
use tightrope_upstream::{Classify, Endpoint, Outcome, Pick, Picked, Upstream};
use tokio::runtime::Runtime;
use tower::{Layer, Service};

/// Who listens, by name.
pub const LISTENERS: [(&str, Listeners); 5] = [
    ("none", Listeners::None),
    ("health", Listeners::Health),
    ("outlier", Listeners::Outlier),
    ("outlier+latency", Listeners::OutlierLatency),
    ("health+outlier", Listeners::Both),
];

/// Who listens.
#[derive(Clone, Copy, Debug)]
pub enum Listeners {
    /// Nobody: there is no `Observe` around the service.
    None,
    /// Probes.
    Health,
    /// Detectors that do not read the clock.
    Outlier,
    /// Detectors, that of latency among them.
    OutlierLatency,
    /// Probes, and detectors that do not read the clock.
    Both,
}

/// Endpoints that are tried in an order that caches cannot guess, and who listens to the attempts.
pub struct Attempts {
    upstream: Upstream,
    listeners: Listeners,
    health: HealthTask,
    outlier: OutlierTask,
    // Holds the tasks and never runs them: what they do is not measured.
    _runtime: Runtime,
}

/// Answers at once, with the pick.
#[derive(Clone, Copy, Debug)]
struct Nothing;

/// Every answer is a success.
#[derive(Clone, Copy, Debug)]
struct Good;

#[derive(Debug)]
struct Never;

// === impl Attempts ===

impl Attempts {
    /// On this many endpoints.
    #[must_use]
    pub fn new(listeners: Listeners, endpoints: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let _context = runtime.enter();
        let upstream = crate::upstream(endpoints);
        let latency =
            matches!(listeners, Listeners::OutlierLatency).then_some(LatencyFactor::new());
        Self {
            health: HealthCheck::new(&upstream, Never).spawn(),
            outlier: OutlierDetection::new(&upstream)
                .with_latency(latency)
                .spawn(),
            upstream,
            listeners,
            _runtime: runtime,
        }
    }

    /// Makes an attempt each time it is called; another one for each thread.
    #[must_use]
    pub fn caller(&self) -> Box<dyn FnMut() + Send> {
        let (health, outlier) = (self.health.live_reports(), self.outlier.reports());
        match self.listeners {
            Listeners::None => self.calls(Nothing),
            Listeners::Health => self.calls(ObserveLayer::new(health, Good).layer(Nothing)),
            Listeners::Outlier | Listeners::OutlierLatency => {
                self.calls(ObserveLayer::new(outlier, Good).layer(Nothing))
            }
            Listeners::Both => {
                self.calls(ObserveLayer::new((health, outlier), Good).layer(Nothing))
            }
        }
    }

    fn calls<S>(&self, mut service: S) -> Box<dyn FnMut() + Send>
    where
        S: Service<Picked<()>, Response = Pick, Error = Infallible> + Send + 'static,
    {
        let snapshot = self.upstream.snapshot();
        let mut n = 0_u32;
        Box::new(move || {
            n = n.wrapping_add(0x9e37_79b1);
            let members = snapshot.members();
            let place = (u64::from(n) * members.len() as u64) >> 32;
            call(&mut service, &members[place as usize]);
        })
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// Picks the endpoint, calls the service, waits for the answer, and ends the pick.
fn call<S>(service: &mut S, endpoint: &Arc<Endpoint>)
where
    S: Service<Picked<()>, Response = Pick, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut context) else {
        unreachable!("it is always ready");
    };
    let picked = Picked::new((), endpoint.pick().unwrap());
    let response = pin!(service.call(picked));
    let Poll::Ready(Ok(mut pick)) = response.poll(&mut context) else {
        unreachable!("it answers at once");
    };
    pick.set_outcome(Outcome::Success);
    drop(black_box(pick));
}

// === impl Nothing, Good, Never ===

impl Service<Picked<()>> for Nothing {
    type Response = Pick;
    type Error = Infallible;
    type Future = Ready<Result<Pick, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, picked: Picked<()>) -> Self::Future {
        ready(Ok(picked.into_parts().1))
    }
}

impl Classify<Pick, Infallible> for Good {
    fn classify(&self, _: Result<&Pick, &Infallible>) -> Outcome {
        Outcome::Success
    }
}

impl Probe for Never {
    fn probe<'a>(&'a self, _: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(pending())
    }
}
