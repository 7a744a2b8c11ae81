//! The settings of a health check.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tightrope_upstream::Upstream;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::{
    HealthCheckError, HealthTask, Probe,
    observe::channel,
    schedule::{Intervals, Schedule},
    threshold::Limits,
    worker::{Settings, Worker},
};

/// Probes all members of an upstream for as long as its [`HealthTask`] lives, and sets their health.
///
/// A new member is probed at once, and from then on once per interval, whether or not it gets
/// traffic: draining, without weight, or in a group that stands by. The probe of a member that leaves
/// ends. A member is
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
/// side, each over a connection of its own. For many there are
/// [`with_start_spread`](Self::with_start_spread), [`with_max_in_flight`](Self::with_max_in_flight) and
/// [`with_idle_interval`](Self::with_idle_interval).
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
    intervals: Intervals,
    jitter: f64,
    seed: u64,
    spread: Duration,
    max_in_flight: Option<usize>,
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
            intervals: Intervals {
                healthy: Duration::from_secs(2),
                unhealthy: None,
                changing: None,
                idle: None,
            },
            jitter: 0.1,
            seed: RandomState::new().hash_one(upstream.name()),
            spread: Duration::ZERO,
            max_in_flight: None,
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
        self.intervals.healthy = some(interval, HealthCheckError::Interval)?;
        Ok(self)
    }

    /// The interval while a member is unhealthy. Shorter: it is back sooner; longer: one that is gone
    /// for good costs less. Default: as [`with_interval`](Self::with_interval).
    ///
    /// # Errors
    /// It is zero.
    pub fn with_unhealthy_interval(mut self, interval: Duration) -> Result<Self, HealthCheckError> {
        let interval = some(interval, HealthCheckError::UnhealthyInterval)?;
        self.intervals.unhealthy = Some(interval);
        Ok(self)
    }

    /// The interval while the verdict on a member may change: from the first result against it until
    /// there are `rise` or `fall` of them, or one that bears it out. Shorter ones give a quick verdict
    /// without more probes of those that are well, as HAProxy's `fastinter`. Default: the interval is as
    /// [`with_interval`](Self::with_interval) says.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_changing_interval(mut self, interval: Duration) -> Result<Self, HealthCheckError> {
        let interval = some(interval, HealthCheckError::ChangingInterval)?;
        self.intervals.changing = Some(interval);
        Ok(self)
    }

    /// The interval while a healthy member gets no traffic: after a probe since whose forerunner no
    /// attempt ended and with none in flight. Envoy's is 60 s. When traffic comes back, the interval
    /// that began without it still runs to its end, unless the traffic finds nobody there and
    /// [says so](crate::LiveReports). Default: as [`with_interval`](Self::with_interval).
    ///
    /// # Errors
    /// It is zero.
    pub fn with_idle_interval(mut self, interval: Duration) -> Result<Self, HealthCheckError> {
        self.intervals.idle = Some(some(interval, HealthCheckError::IdleInterval)?);
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

    /// Makes the first probes of members that join together over this time, evenly and in the order
    /// of the members: the first at once. One that joins alone is probed at once. Default: none, all
    /// at once.
    pub const fn with_start_spread(mut self, spread: Duration) -> Self {
        self.spread = spread;
        self
    }

    /// Makes no more than this many probes at a time. Those that are due beyond that wait, and start
    /// in the order in which they were due; the timeout of a probe runs from its start. So that none
    /// waits long, let there be more than members * duration of a probe / interval; a server that hangs
    /// takes a place for the whole timeout. Default: as many as there are members.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_max_in_flight(mut self, probes: usize) -> Result<Self, HealthCheckError> {
        if probes == 0 {
            return Err(HealthCheckError::MaxInFlight);
        }
        self.max_in_flight = Some(probes);
        Ok(self)
    }

    /// Fails a probe that takes longer. Default: 1 s.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_timeout(mut self, timeout: Duration) -> Result<Self, HealthCheckError> {
        self.timeout = some(timeout, HealthCheckError::Timeout)?;
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
            schedule: Schedule::new(self.intervals, self.jitter, self.seed),
            spread: self.spread,
            places: self.max_in_flight.map(places),
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
            .field("intervals", &self.intervals)
            .field("jitter", &self.jitter)
            .field("spread", &self.spread)
            .field("max_in_flight", &self.max_in_flight)
            .field("timeout", &self.timeout)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// `time`, unless it is zero.
const fn some(time: Duration, error: HealthCheckError) -> Result<Duration, HealthCheckError> {
    if time.is_zero() { Err(error) } else { Ok(time) }
}

fn places(max_in_flight: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS)))
}
