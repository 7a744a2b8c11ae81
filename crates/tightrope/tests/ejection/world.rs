//! Servers, a balancer in front of them, and clients.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use tightrope::{
    balance::{Balance, BalanceError, Strategy, prequal},
    health::{
        HealthCheck, HealthTask, ObserveLayer, Probe, ProbeError,
        outlier::{OutlierDetection, OutlierReports, OutlierTask},
        probe::ProbeFuture,
    },
    upstream::{
        Availability, Change, Classify, Endpoint, EndpointId, EndpointSpec, Failure, Outcome,
        Picked, Upstream,
    },
};
use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, sleep},
};
use tower::{Layer, Service, ServiceExt};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

const ANSWER: Duration = Duration::from_millis(20);

/// Makes a strategy.
pub(crate) type Make = fn(&mut World) -> Box<dyn Strategy>;

/// What the server of this number does with a request, so long after the start.
pub(crate) type Script = fn(usize, Duration) -> Answer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It answers well, after 20 ms.
    Good,
    /// It fails, after 20 ms.
    Bad,
    /// It fails in no time.
    BadAtOnce,
}

pub(crate) struct World {
    servers: Servers,
    clients: JoinSet<()>,
}

/// A request that reached a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) server: usize,
    pub(crate) at: Duration,
    pub(crate) failed: bool,
    /// How many are there, with this one.
    pub(crate) in_flight: usize,
    /// How many are at the busiest of the others.
    pub(crate) elsewhere: usize,
}

#[derive(Clone)]
pub(crate) struct Servers {
    upstream: Upstream,
    start: Instant,
    script: Script,
    meters: Arc<[prequal::Meter]>,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// It failed.
#[derive(Debug)]
pub(crate) struct Failed;

/// Takes the result for what it is.
#[derive(Clone)]
struct AsItIs;

impl World {
    pub(crate) fn new(servers: usize, script: Script) -> Self {
        let upstream = Upstream::new("test");
        let specs = (0..servers).map(|n| {
            let id = EndpointId::new(&n.to_string()).unwrap();
            let address = format!("10.0.0.{}:80", n + 1).parse().unwrap();
            EndpointSpec::new(address).with_id(id)
        });
        upstream.apply(Change::new().replace(specs)).unwrap();
        Self {
            servers: Servers {
                upstream,
                start: Instant::now(),
                script,
                meters: (0..servers).map(|_| prequal::Meter::new()).collect(),
                requests: Arc::default(),
            },
            clients: JoinSet::new(),
        }
    }

    /// Starts a detection.
    pub(crate) fn detect(
        &self,
        settings: impl FnOnce(OutlierDetection) -> OutlierDetection,
    ) -> OutlierTask {
        settings(OutlierDetection::new(&self.servers.upstream).with_seed(1)).spawn()
    }

    /// Starts so many clients, each with one request at a time, within the time of an answer; how they
    /// end goes to `reports`.
    pub(crate) fn clients(
        &mut self,
        count: usize,
        strategy: impl Strategy,
        reports: Option<OutlierReports>,
    ) {
        let observed = ObserveLayer::new(reports, AsItIs).layer(self.servers.clone());
        let balance = Balance::new(&self.servers.upstream, strategy, observed).with_seed(1);
        for client in 0..count {
            let balance = balance.clone();
            self.clients.spawn(async move {
                sleep(ANSWER * client as u32 / count as u32).await;
                loop {
                    let answer = balance.clone().oneshot(()).await;
                    assert!(!matches!(answer, Err(BalanceError::Pick(_))), "{answer:?}");
                }
            });
        }
    }

    /// Prequal, and what asks the meters of the servers for it.
    pub(crate) fn prequal(&mut self) -> prequal::Prequal {
        let (strategy, prober) = prequal::Prequal::builder()
            .with_seed(1)
            .build(self.servers.clone());
        self.clients.spawn(prober);
        strategy
    }

    /// Until somebody is ejected.
    pub(crate) async fn until_ejected(&self) {
        let mut events = self.servers.upstream.events();
        while self.ejected().is_empty() {
            events.next().await.unwrap();
        }
    }

    /// Until this one is `availability`.
    pub(crate) async fn until(&self, server: usize, availability: Availability) {
        let mut events = self.servers.upstream.events();
        while self.servers.upstream.snapshot().availability()[server] != availability {
            events.next().await.unwrap();
        }
    }

    /// Who is ejected.
    pub(crate) fn ejected(&self) -> Vec<usize> {
        let snapshot = self.servers.upstream.snapshot();
        let availability = snapshot.availability().iter().enumerate();
        availability
            .filter(|(_, availability)| **availability == Availability::Ejected)
            .map(|(server, _)| server)
            .collect()
    }

    /// Probes that pass where a request would be answered well.
    pub(crate) fn probe(&self) -> HealthTask {
        HealthCheck::new(&self.servers.upstream, self.servers.clone()).spawn()
    }

    /// How long it is since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.servers.start.elapsed()
    }

    /// The requests since the last time, in order.
    pub(crate) fn requests(&mut self) -> Vec<Request> {
        assert!(self.clients.try_join_next().is_none(), "a client gave up");
        std::mem::take(&mut *self.servers.requests.lock().unwrap())
    }
}

/// The most by which the requests to `server` were ever ahead of its fair share among `of`.
pub(crate) fn most_ahead(requests: &[Request], server: usize, of: usize) -> f64 {
    let (mut there, mut ahead) = (0.0, f64::MIN);
    for (all, request) in requests.iter().enumerate() {
        there += f64::from(request.server == server);
        ahead = f64::max(ahead, there - (all + 1) as f64 / of as f64);
    }
    ahead
}

fn number(endpoint: &Endpoint) -> usize {
    endpoint.id().as_str().parse().unwrap()
}

// === impl Servers ===

impl Service<Picked<()>> for Servers {
    type Response = ();
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, picked: Picked<()>) -> Self::Future {
        let ((), mut pick) = picked.into_parts();
        let (server, at) = (number(pick.endpoint()), self.start.elapsed());
        let answer = (self.script)(server, at);
        let snapshot = self.upstream.snapshot();
        let in_flight = |n: usize| snapshot.members()[n].record().in_flight();
        let others = (0..snapshot.members().len()).filter(|&n| n != server);
        self.requests.lock().unwrap().push(Request {
            server,
            at,
            failed: answer != Answer::Good,
            in_flight: in_flight(server),
            elsewhere: others.map(in_flight).max().unwrap_or(0),
        });
        let metered = self.meters[server].begin();
        Box::pin(async move {
            match answer {
                Answer::Good | Answer::Bad => sleep(ANSWER).await,
                // No time passes, but others have their turn.
                Answer::BadAtOnce => yield_now().await,
            }
            let result = match answer {
                Answer::Good => {
                    metered.answered();
                    Ok(())
                }
                _ => Err(Failed),
            };
            let outcome = AsItIs.classify(result.as_ref());
            pick.answered(outcome);
            pick.set_outcome(outcome);
            result
        })
    }
}

impl Probe for Servers {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(async {
            match (self.script)(number(endpoint), self.start.elapsed()) {
                Answer::Good => Ok(()),
                _ => Err(ProbeError::Unexpected("it is bad".into())),
            }
        })
    }
}

impl prequal::Probe for Servers {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> prequal::ProbeFuture<'a> {
        Box::pin(async {
            sleep(MS).await;
            Ok(self.meters[number(endpoint)].report())
        })
    }
}

// === impl AsItIs ===

impl Classify<(), Failed> for AsItIs {
    fn classify(&self, result: Result<&(), &Failed>) -> Outcome {
        match result {
            Ok(()) => Outcome::Success,
            Err(Failed) => Outcome::Failure(Failure::Response),
        }
    }
}
