//! An upstream, all who judge its members, and balancers in front of it.

use std::{
    collections::BTreeSet,
    mem,
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use tightrope::{
    balance::{Balance, Context, LeastRequest, Maglev, Priorities, RoundRobin, Strategy},
    health::{
        HealthCheck, HealthTask, Listen, Listening, LiveReports, Probe, ProbeError,
        outlier::{OutlierDetection, OutlierTask, Watched},
        probe::ProbeFuture,
    },
    upstream::{
        Endpoint, EndpointId, EndpointSpec, Failure, Health, Outcome, Pick, Upstream, Weight,
    },
};
use tokio::{
    task::yield_now,
    time::{Instant, sleep},
};

use super::model::{BASE, Ending, LONGEST, ROW, Rules, SWEEP};

pub(crate) struct World {
    pub(crate) upstream: Upstream,
    pub(crate) probes: Probes,
    balances: Vec<(&'static str, Balance<()>)>,
    health: HealthTask,
    outliers: OutlierTask,
}

/// Probes that end as they are told to.
#[derive(Clone)]
pub(crate) struct Probes {
    start: Instant,
    /// Those whom they find sick.
    sick: Arc<Mutex<BTreeSet<usize>>>,
    ended: Arc<Mutex<Vec<Probed>>>,
}

/// A probe that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probed {
    pub(crate) name: usize,
    /// In seconds.
    pub(crate) began: u64,
    pub(crate) passed: bool,
}

/// An attempt that is under way.
pub(crate) struct Attempt {
    pub(crate) pick: Option<Pick>,
    health: <LiveReports as Listen>::Listening,
    outliers: Watched,
}

/// Everything else happens at whole seconds, so that nothing happens at the same time as the end of a
/// probe.
const PROBE: Duration = Duration::from_millis(300);

// === impl World ===

impl World {
    pub(crate) fn new(rules: Rules) -> Self {
        let initial = match rules.is_healthy_at_first {
            true => Health::Healthy,
            false => Health::Unhealthy,
        };
        let upstream = Upstream::with_initial_health("test", initial);
        let probes = Probes {
            start: Instant::now(),
            sick: Arc::default(),
            ended: Arc::default(),
        };
        let health = HealthCheck::new(&upstream, probes.clone())
            .with_jitter(0.0)
            .unwrap()
            .with_rise(rules.rise)
            .unwrap()
            .with_fall(rules.fall)
            .unwrap()
            .with_restore(rules.probes_restore);
        let seconds = Duration::from_secs;
        let outliers = OutlierDetection::new(&upstream)
            .with_success_rate(None)
            .with_consecutive_failures(Some(ROW))
            .unwrap()
            .with_times(seconds(BASE), seconds(LONGEST))
            .unwrap()
            .with_interval(seconds(SWEEP))
            .unwrap()
            .with_max_ejected(rules.max_ejected)
            .unwrap()
            .with_min_available(rules.min_available)
            .with_probation(rules.has_probation)
            .with_seed(1);
        let balance = |strategy| Balance::new(&upstream, strategy, ()).with_seed(1);
        let strategies: [(_, Box<dyn Strategy>); 4] = [
            ("round robin", Box::new(RoundRobin::new())),
            ("least request", Box::new(LeastRequest::new())),
            // Small, since many are built.
            ("maglev", Box::new(Maglev::new().with_table_size(251))),
            ("priorities", Box::new(Priorities::new(RoundRobin::new))),
        ];
        Self {
            balances: strategies
                .into_iter()
                .map(|(name, strategy)| (name, balance(strategy)))
                .collect(),
            health: health.spawn(),
            outliers: outliers.spawn(),
            upstream,
            probes,
        }
    }

    pub(crate) fn endpoint(&self, name: usize) -> Arc<Endpoint> {
        Arc::clone(self.upstream.snapshot().get(&id(name)).unwrap().0)
    }

    /// An attempt on this one begins.
    pub(crate) fn begin(&self, name: usize) -> Attempt {
        let endpoint = self.endpoint(name);
        Attempt {
            pick: None,
            health: self.health.live_reports().begin(&endpoint),
            outliers: self.outliers.reports().begin(&endpoint),
        }
    }

    /// Whom each balancer picks for a request with this key.
    pub(crate) fn picks(&mut self, key: u8) -> Vec<(&'static str, Option<usize>)> {
        let (key, mut picks) = ([key], Vec::new());
        for (strategy, balance) in &mut self.balances {
            let pick = balance.pick(&Context::new().with_key(&key)).ok();
            picks.push((*strategy, pick.map(|pick| name(pick.endpoint()))));
        }
        picks
    }

    /// Whom one of them picks.
    pub(crate) fn pick(&mut self, strategy: usize, key: u8) -> Option<Pick> {
        let (_, balance) = &mut self.balances[strategy];
        balance.pick(&Context::new().with_key(&[key])).ok()
    }
}

impl Attempt {
    pub(crate) async fn end(mut self, ending: Ending) {
        let outcome = match ending {
            Ending::Success => Outcome::Success,
            Ending::Failure => Outcome::Failure(Failure::Response),
            Ending::Nobody => Outcome::Failure(Failure::Connect),
            Ending::GivenUp => return,
        };
        if let Some(pick) = &mut self.pick {
            pick.set_outcome(outcome);
        }
        // One after the other, since who is unhealthy is not ejected as well.
        self.health.end(outcome);
        settle().await;
        self.outliers.end(outcome);
        settle().await;
    }
}

pub(crate) fn spec(name: usize, weight: u16, limit: Option<usize>) -> EndpointSpec {
    let spec = EndpointSpec::new(format!("10.0.0.{}:80", name + 1).parse().unwrap())
        .with_id(id(name))
        .with_weight(Weight::from(weight))
        .with_priority((name % 2) as u8);
    match limit {
        Some(most) => spec.with_max_in_flight(NonZeroU32::new(most as u32).unwrap()),
        None => spec,
    }
}

pub(crate) fn id(name: usize) -> EndpointId {
    EndpointId::new(&name.to_string()).unwrap()
}

pub(crate) fn name(endpoint: &Endpoint) -> usize {
    endpoint.id().as_str().parse().unwrap()
}

/// Lets all see what happened.
pub(crate) async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

// === impl Probes ===

impl Probes {
    /// From now on they find this one well, or sick.
    pub(crate) fn set(&self, name: usize, is_well: bool) {
        let mut sick = self.sick.lock().unwrap();
        if is_well {
            sick.remove(&name);
        } else {
            sick.insert(name);
        }
    }

    /// Those that ended since the last time.
    pub(crate) fn ended(&self) -> Vec<Probed> {
        mem::take(&mut self.ended.lock().unwrap())
    }
}

impl Probe for Probes {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(async move {
            let (name, began) = (name(endpoint), self.start.elapsed());
            assert_eq!(began.subsec_nanos(), 0);
            sleep(PROBE).await;
            let passed = !self.sick.lock().unwrap().contains(&name);
            self.ended.lock().unwrap().push(Probed {
                name,
                began: began.as_secs(),
                passed,
            });
            if passed {
                return Ok(());
            }
            Err(ProbeError::Unexpected("it is sick".into()))
        })
    }
}
