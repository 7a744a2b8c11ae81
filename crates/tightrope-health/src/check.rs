//! The settings of a health check.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tightrope_upstream::Upstream;
use tracing::Instrument;

use crate::{
    HealthCheckError, HealthTask, Probe,
    observe::channel,
    schedule::Schedule,
    threshold::Limits,
    worker::{Settings, Worker},
};

/// Probes all members of an upstream for as long as its [`HealthTask`] lives, and sets their health.
///
/// A new member is probed at once, and from then on once per interval, whether or not it gets
/// traffic: draining, without weight, or in a group that stands by. A member is
///
/// - **unhealthy** after `fall` failures in a row (default 3), of probes or of connections that
///   live traffic tried to make (see [`LiveReports`](crate::LiveReports)),
/// - **healthy** after `rise` probes in a row (default 2) that passed.
///
/// What it starts as is the upstream's to say
/// ([`Upstream::with_initial_health`](tightrope_upstream::Upstream::with_initial_health)). If that
/// is unhealthy, the very first probe brings it in alone if it passes, as in Envoy; a first probe
/// that fails counts like any other. A verdict that somebody else set is where the next one starts
/// from.
///
/// A server that restarts is back one interval after it answers, at the latest, where `rise` is 1.
/// A server that is killed gets `fall` more requests at most, where live traffic is observed.
///
/// The defaults of interval, `rise` and `fall` are those of HAProxy. All members are probed side by
/// side, each over a connection of its own.
///
/// ```
/// use std::time::Duration;
/// use tightrope_health::{HealthCheck, TcpProbe};
/// use tightrope_upstream::{Change, EndpointSpec, EventKind, Health, Upstream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let upstream = Upstream::with_initial_health("api", Health::Unhealthy);
/// let mut events = upstream.events();
/// let health = HealthCheck::new(&upstream, TcpProbe::new())
///     .with_interval(Duration::from_secs(1))?
///     .with_rise(1)?
///     .spawn();
///
/// let address = server.local_addr()?.try_into()?;
/// upstream.apply(Change::new().add(EndpointSpec::new(address)))?;
/// while let Some(event) = events.next().await? {
///     if matches!(event.kind, EventKind::Health { health: Health::Healthy, .. }) {
///         break;
///     }
/// }
/// assert_eq!(upstream.snapshot().available(), [0]);
/// drop(health); // no more probes
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is probed until it is spawned"]
pub struct HealthCheck {
    upstream: Upstream,
    probe: Arc<dyn Probe>,
    interval: Duration,
    jitter: f64,
    seed: u64,
    timeout: Duration,
    limits: Limits,
    restores: bool,
}

impl HealthCheck {
    /// Probes the members of `upstream` with `probe`.
    pub fn new(upstream: &Upstream, probe: impl Probe) -> Self {
        Self {
            upstream: upstream.clone(),
            probe: Arc::new(probe),
            interval: Duration::from_secs(2),
            jitter: 0.1,
            seed: RandomState::new().hash_one(upstream.name()),
            timeout: Duration::from_secs(1),
            limits: Limits { rise: 2, fall: 3 },
            restores: true,
        }
    }

    /// Starts a probe of each member this long after the start of the one before. Default: 2 s.
    ///
    /// A probe that takes longer is not overtaken: the next one starts when it ends.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_interval(mut self, interval: Duration) -> Result<Self, HealthCheckError> {
        if interval.is_zero() {
            return Err(HealthCheckError::Interval);
        }
        self.interval = interval;
        Ok(self)
    }

    /// Shortens each interval by a share that is drawn between 0 and this, so that members that
    /// joined together are not probed together for ever. From 0 to 0.5. Default: 0.1.
    ///
    /// # Errors
    /// It is outside of that range.
    pub fn with_jitter(mut self, share: f64) -> Result<Self, HealthCheckError> {
        if !(0.0..=0.5).contains(&share) {
            return Err(HealthCheckError::Jitter { share });
        }
        self.jitter = share;
        Ok(self)
    }

    /// Draws the jitter from this seed. Default: another one for each check.
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Fails a probe that takes longer. Default: 1 s.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_timeout(mut self, timeout: Duration) -> Result<Self, HealthCheckError> {
        if timeout.is_zero() {
            return Err(HealthCheckError::Timeout);
        }
        self.timeout = timeout;
        Ok(self)
    }

    /// Makes a member healthy after this many probes in a row that passed. Default: 2.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_rise(mut self, rise: u32) -> Result<Self, HealthCheckError> {
        if rise == 0 {
            return Err(HealthCheckError::Rise);
        }
        self.limits.rise = rise;
        Ok(self)
    }

    /// Makes a member unhealthy after this many failures in a row. Default: 3.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_fall(mut self, fall: u32) -> Result<Self, HealthCheckError> {
        if fall == 0 {
            return Err(HealthCheckError::Fall);
        }
        self.limits.fall = fall;
        Ok(self)
    }

    /// Whether one probe that passes ends the [ejection](crate::outlier) of its endpoint before its
    /// time. Switch it off where probes ask for less than requests do, and so pass although requests
    /// fail. Default: yes, as in Envoy.
    pub const fn with_restore(mut self, restores: bool) -> Self {
        self.restores = restores;
        self
    }

    /// Starts to probe, in a task on the runtime of the caller and in the caller's span.
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers and I/O.
    #[must_use = "dropping the task ends it"]
    pub fn spawn(self) -> HealthTask {
        let (reports, reported) = channel();
        let settings = Settings {
            probe: self.probe,
            timeout: self.timeout,
            limits: self.limits,
            schedule: Schedule::new(self.interval, self.jitter, self.seed),
            restores: self.restores,
        };
        let worker = Worker::new(self.upstream, settings, reported);
        HealthTask::new(tokio::spawn(worker.run().in_current_span()), reports)
    }
}

impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthCheck")
            .field("upstream", &self.upstream.name())
            .field("interval", &self.interval)
            .field("jitter", &self.jitter)
            .field("timeout", &self.timeout)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
