//! The settings of an outlier detection.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use rand::{SeedableRng, rngs::SmallRng};
use tightrope_upstream::{Follower, Upstream};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::{
    Detector, FailureShare, LatencyFactor, OutlierCounts, OutlierError, OutlierReports,
    OutlierTask, SuccessRate,
    ejection::Times,
    tally::{Limits, Tallies},
    worker::{Settings, Worker},
};

/// Ejects members of an upstream that live traffic tells against, for as long as its
/// [`OutlierTask`] lives.
///
/// An ejection lasts 30 s times the number of ejections that the endpoint had lately, 5 minutes at
/// most. Each sweep that finds an endpoint in takes one from that number. When its time is over the
/// endpoint is on trial, with one attempt at a time: if that fails it is ejected again, if it succeeds the
/// endpoint is like any other. A probe that passes ends an ejection before its time, see
/// [`HealthCheck`](crate::HealthCheck).
///
/// **Of how many?** At most one in ten of those in service may be ejected at a time, and always one,
/// unless nobody else is available: where two are left one may go, the last one never. Who is on trial
/// counts as ejected in this. Whom probes
/// found unhealthy already is not ejected: probes bring it back.
///
/// ```
/// use tightrope_health::{Listen, Listening, outlier::OutlierDetection};
/// use tightrope_upstream::{Change, EndpointSpec, EventKind, Failure, Outcome, Upstream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let upstream = Upstream::new("api");
/// let specs = ["10.0.0.1:80", "10.0.0.2:80"].map(|address| address.parse().map(EndpointSpec::new));
/// upstream.apply(Change::new().replace(specs.into_iter().collect::<Result<Vec<_>, _>>()?))?;
/// let mut events = upstream.events();
///
/// let outliers = OutlierDetection::new(&upstream)
///     .with_consecutive_failures(Some(3))?
///     .spawn();
///
/// // What an `ObserveLayer` does for each request:
/// let (reports, first) = (outliers.reports(), upstream.snapshot().members()[0].clone());
/// for _ in 0..3 {
///     reports.begin(&first).end(Outcome::Failure(Failure::Response));
/// }
///
/// let event = events.next().await?.expect("the upstream is there");
/// let EventKind::Ejection { reason, .. } = event.kind else { unreachable!() };
/// assert_eq!(reason.as_str(), "3 failures in a row, the last: failure response; for 30s");
/// assert_eq!(upstream.snapshot().available(), [1]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nobody is ejected until it is spawned"]
pub struct OutlierDetection {
    upstream: Upstream,
    limits: Limits,
    settings: Settings,
    seed: u64,
}

/// How many reports of failures in a row wait before further ones are dropped.
const QUEUE: usize = 1024;

impl OutlierDetection {
    /// Watches the members of `upstream`.
    pub fn new(upstream: &Upstream) -> Self {
        Self {
            upstream: upstream.clone(),
            limits: Limits {
                failures: Some(5),
                gateway: None,
                local: None,
                memory: Duration::ZERO,
                judges_latency: false,
            },
            settings: Settings {
                interval: Duration::from_secs(10),
                success_rate: Some(SuccessRate::new()),
                failure_share: None,
                latency: None,
                has_probation: true,
                times: Times {
                    base: Duration::from_secs(30),
                    max: Duration::from_secs(300),
                    jitter: Duration::ZERO,
                },
                max_ejected: 0.1,
                min_available: 1,
                enforcement: [1.0; Detector::ALL.len()],
            },
            seed: RandomState::new().hash_one(upstream.name()),
        }
    }

    /// What nginx does by its `max_fails` and `fail_timeout`: an endpoint that gave no answer `max_fails`
    /// times, without a success that came later than `fail_timeout` after the last, is out for
    /// `fail_timeout`, and then on trial. All may be out at once. Compares nobody.
    ///
    /// nginx counts time in whole seconds and lets a server back only in the second after the last of
    /// `fail_timeout`, so it is out for up to a second more there. Where `proxy_next_upstream` names statuses,
    /// set [`with_consecutive_failures`](Self::with_consecutive_failures) in place of
    /// [`with_local_failures`](Self::with_local_failures), so that they count as well. `max_fails=0` is no detection.
    ///
    /// # Errors
    /// One of the two is zero.
    pub fn nginx(
        upstream: &Upstream,
        max_fails: u32,
        fail_timeout: Duration,
    ) -> Result<Self, OutlierError> {
        let detection = Self::new(upstream)
            .with_consecutive_failures(None)?
            .with_local_failures(Some(max_fails))?
            .with_success_rate(None)
            .with_memory(fail_timeout)
            .with_times(fail_timeout, fail_timeout)?
            .with_max_ejected(1.0)?;
        Ok(detection.with_min_available(0))
    }

    /// Ejects after this many failures in a row; none: never. Default: 5.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_consecutive_failures(mut self, most: Option<u32>) -> Result<Self, OutlierError> {
        self.limits.failures = in_a_row(Detector::ConsecutiveFailures, most)?;
        Ok(self)
    }

    /// Ejects after this many attempts in a row that got no answer, or that of a gateway which
    /// failed ([`Failure::Gateway`](tightrope_upstream::Failure::Gateway)); none: never. Default: none.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_gateway_failures(mut self, most: Option<u32>) -> Result<Self, OutlierError> {
        self.limits.gateway = in_a_row(Detector::GatewayFailures, most)?;
        Ok(self)
    }

    /// Ejects after this many attempts in a row that got no answer, and has the other detectors count
    /// answers only; none: an attempt without an answer is a failure like any other. Default: none.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_local_failures(mut self, most: Option<u32>) -> Result<Self, OutlierError> {
        self.limits.local = in_a_row(Detector::LocalFailures, most)?;
        Ok(self)
    }

    /// Ejects who succeeds less often than the fleet; none: nobody. Default:
    /// [`SuccessRate::new`].
    pub const fn with_success_rate(mut self, rule: Option<SuccessRate>) -> Self {
        self.settings.success_rate = rule;
        self
    }

    /// Ejects who fails often; none: nobody. Default: none.
    pub const fn with_failure_share(mut self, rule: Option<FailureShare>) -> Self {
        self.settings.failure_share = rule;
        self
    }

    /// Ejects who answers slowly; none: nobody. Default: none.
    pub const fn with_latency(mut self, rule: Option<LatencyFactor>) -> Self {
        self.settings.latency = rule;
        self.limits.judges_latency = rule.is_some();
        self
    }

    /// Lets a success end a row of failures only when it comes this long after the last of them, so that
    /// failures among successes add up. Default: zero, a row is ended by any success.
    pub const fn with_memory(mut self, memory: Duration) -> Self {
        self.limits.memory = memory;
        self
    }

    /// Whether an endpoint is [on trial](tightrope_upstream::Ejection::OnTrial) when its time is over, with
    /// one attempt at a time until the first ends: a success brings it back, a failure ejects it again.
    /// Where nobody else is available it comes back with all of its share, and only its first failure is
    /// one too many. Default: yes.
    pub const fn with_probation(mut self, has_probation: bool) -> Self {
        self.settings.has_probation = has_probation;
        self
    }

    /// Compares endpoints with each other this often. Default: 10 s.
    ///
    /// # Errors
    /// It is zero.
    pub fn with_interval(mut self, interval: Duration) -> Result<Self, OutlierError> {
        if interval.is_zero() {
            return Err(OutlierError::Interval);
        }
        self.settings.interval = interval;
        Ok(self)
    }

    /// Ejects for `base`, and for that much longer each time, up to `max`. Default: 30 s and 5 min.
    ///
    /// # Errors
    /// `base` is zero, or `max` is shorter.
    pub fn with_times(mut self, base: Duration, max: Duration) -> Result<Self, OutlierError> {
        if base.is_zero() {
            return Err(OutlierError::BaseTime);
        }
        if max < base {
            return Err(OutlierError::MaxTime { base, max });
        }
        self.settings.times.base = base;
        self.settings.times.max = max;
        Ok(self)
    }

    /// Lengthens each ejection by a time that is drawn between zero and this, so that endpoints that
    /// went together do not come back together. Default: zero.
    pub const fn with_jitter(mut self, jitter: Duration) -> Self {
        self.settings.times.jitter = jitter;
        self
    }

    /// Ejects no more than this share of the endpoints in service, rounded down, but always one if
    /// it is above 0. From 0, which ejects nobody, to 1. Default: 0.1.
    ///
    /// # Errors
    /// It is outside of that range.
    pub fn with_max_ejected(mut self, share: f64) -> Result<Self, OutlierError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(OutlierError::MaxEjected { share });
        }
        self.settings.max_ejected = share;
        Ok(self)
    }

    /// Ejects nobody where fewer others than this would be left, available and not on trial. Default: 1, so
    /// that the last one stays. With 0 all may be ejected, as by nginx; all requests fail then until the time
    /// of one of them is over. An endpoint that was alone from the start is never ejected.
    pub const fn with_min_available(mut self, endpoints: usize) -> Self {
        self.settings.min_available = endpoints;
        self
    }

    /// Ejects whom `detector` finds only this often, by chance: 0 is a dry run, whose
    /// [counts](OutlierTask::counts) tell what would have been. From 0 to 1. Default: 1.
    ///
    /// # Errors
    /// It is outside of that range.
    pub fn with_enforcement(
        mut self,
        detector: Detector,
        share: f64,
    ) -> Result<Self, OutlierError> {
        if !(0.0..=1.0).contains(&share) {
            return Err(OutlierError::Enforcement { detector, share });
        }
        self.settings.enforcement[detector as usize] = share;
        Ok(self)
    }

    /// Draws from this seed. Default: another one for each detection.
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts to watch, in a task on the runtime of the caller and in the caller's span.
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers.
    #[must_use = "dropping the task ends it"]
    pub fn spawn(self) -> OutlierTask {
        let (tells, told) = mpsc::channel(QUEUE);
        let (joins, joined) = mpsc::unbounded_channel();
        let tallies = Arc::new(Tallies::new(self.limits, tells, joins));
        let follower: Arc<dyn Follower> = Arc::<Tallies>::clone(&tallies);
        self.upstream.follow(Arc::downgrade(&follower));
        let counts = OutlierCounts::default();
        let worker = Worker::new(
            self.upstream,
            self.settings,
            Arc::clone(&tallies),
            (told, joined),
            counts.clone(),
            SmallRng::seed_from_u64(self.seed),
        );
        OutlierTask::new(
            tokio::spawn(worker.run().in_current_span()),
            OutlierReports::new(tallies),
            counts,
        )
    }
}

fn in_a_row(detector: Detector, most: Option<u32>) -> Result<Option<u32>, OutlierError> {
    if most == Some(0) {
        return Err(OutlierError::InARow { detector });
    }
    Ok(most)
}
