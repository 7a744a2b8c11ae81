//! Lets endpoints start slowly.

use tightrope_upstream::{Missed, Ramp, RampGuard, Upstream};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tracing::Instrument;

/// Lets the members of an upstream start slowly for as long as it lives: see [`Ramp`] for who, and how.
///
/// Every strategy honours it but those that choose exactly as another program does by hash (or by
/// chance: nginx's `random`). A load-aware one counts a member that starts as if it had as little weight.
/// One that hashes gives it as many of its keys as it has of its weight by now: each key comes
/// once, and no table is made anew.
///
/// Dropping it gives everybody all of their weight.
///
/// ```
/// use std::time::Duration;
/// use tightrope_health::SlowStart;
/// use tightrope_upstream::{Change, EndpointSpec, Ramp, Upstream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let upstream = Upstream::new("api");
/// let slow_start = SlowStart::spawn(&upstream, Ramp::new(Duration::from_secs(30))?);
///
/// upstream.apply(Change::new().add(EndpointSpec::new("10.0.0.1:80".parse()?)))?;
/// assert_eq!(upstream.snapshot().ramp_percent(0), 100); // nobody else is there
/// upstream.apply(Change::new().add(EndpointSpec::new("10.0.0.2:80".parse()?)))?;
/// assert_eq!(upstream.snapshot().ramp_percent(1), 10);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends it"]
pub struct SlowStart {
    task: JoinHandle<()>,
    _ramps: RampGuard,
}

impl SlowStart {
    /// Lets members of `upstream` that become available from now on grow by `ramp`, in a task on the
    /// runtime of the caller and in the caller's span. Of several for one upstream the newest counts.
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers.
    pub fn spawn(upstream: &Upstream, ramp: Ramp) -> Self {
        Self {
            _ramps: upstream.begin_ramps(ramp),
            task: tokio::spawn(advance(upstream.clone()).in_current_span()),
        }
    }
}

impl Drop for SlowStart {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn advance(upstream: Upstream) {
    let mut events = upstream.events();
    loop {
        let next = upstream.advance_ramps();
        tokio::select! {
            // Whoever becomes available does so by a change that is told.
            event = events.next() => match event {
                Ok(Some(_)) | Err(Missed { .. }) => {}
                Ok(None) => return,
            },
            () = wait(next) => {}
        }
    }
}

async fn wait(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
