//! One answer for all who ask the same server.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tightrope_upstream::{Address, Endpoint};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

use crate::{Probe, ProbeError, probe::ProbeFuture};

/// Asks once on behalf of several upstreams that have endpoints on the same server.
///
/// Its clones share the answers: while one of them asks at a [place](Probe::place), others that are to
/// ask there wait for the same answer, and who comes within `freshness` after that gets it too. So the
/// load that probes are to a server does not grow with the upstreams that it is part of. Each upstream
/// still has a [`HealthCheck`](crate::HealthCheck) of its own, with its thresholds and its verdicts.
///
/// Nobody is told the same answer twice: an endpoint of an upstream that comes again, at its next
/// interval or because live traffic told against it, has the server asked anew. Let `freshness` be about
/// half of the shortest interval of the checks that share; with less, those that do not probe at the
/// same moment ask twice. A verdict is later by up to this time, and an answer from before an
/// [ejection](crate::outlier) may end it. Zero shares with those only who wait for the same answer.
/// Nothing runs in the background; what is stale is forgotten when a place comes that was not asked
/// before.
///
/// Who gives up, by its timeout or because its member left, ends the question if it was the one who
/// asked; the next who waits asks anew, within the time that it has left. A failure comes as
/// [`ProbeError::Shared`].
///
/// ```
/// use std::time::Duration;
/// use tightrope_health::{HealthCheck, TcpProbe, probe::Shared};
/// use tightrope_upstream::Upstream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (api, admin) = (Upstream::new("api"), Upstream::new("admin"));
/// let probe = Shared::new(TcpProbe::new(), Duration::from_secs(1));
/// let api = HealthCheck::new(&api, probe.clone()).spawn();
/// let admin = HealthCheck::new(&admin, probe).spawn();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Shared<P> {
    inner: Arc<Inner<P>>,
}

#[derive(Debug)]
struct Inner<P> {
    probe: P,
    freshness: Duration,
    /// The newest answer at each place. Who asks there has it locked; the lock is the queue of those
    /// who wait for what it says.
    answers: Mutex<HashMap<Address, Arc<AsyncMutex<Option<Answer>>>>>,
}

#[derive(Clone, Debug)]
struct Answer {
    came: Instant,
    answer: Result<(), Arc<ProbeError>>,
    /// The records of the endpoints that it was told of.
    told: HashSet<u64>,
}

// === impl Shared ===

impl<P> Shared<P> {
    /// Shares the answers of `probe` for as long as `freshness` after they came.
    #[must_use]
    pub fn new(probe: P, freshness: Duration) -> Self {
        let inner = Inner {
            probe,
            freshness,
            answers: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The probe whose answers are shared.
    #[must_use]
    pub fn get_ref(&self) -> &P {
        &self.inner.probe
    }
}

impl<P: Probe> Shared<P> {
    async fn ask(&self, endpoint: &Endpoint) -> Result<(), ProbeError> {
        let arrived = Instant::now();
        let newest = self.inner.newest(self.place(endpoint)?);
        let mut newest = newest.lock().await;
        let serial = endpoint.record().serial();
        let answer = match &mut *newest {
            Some(known) if known.came >= arrived || self.inner.is_news(known, serial) => known,
            _ => {
                let answer = self.inner.probe.probe(endpoint).await.map_err(Arc::new);
                newest.insert(Answer {
                    came: Instant::now(),
                    answer,
                    told: HashSet::new(),
                })
            }
        };
        answer.told.insert(serial);
        answer.answer.clone().map_err(ProbeError::Shared)
    }
}

impl<P> Clone for Shared<P> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<P: Probe> Probe for Shared<P> {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        Box::pin(self.ask(endpoint))
    }

    fn place(&self, endpoint: &Endpoint) -> Result<Address, ProbeError> {
        self.inner.probe.place(endpoint)
    }
}

// === impl Inner ===

impl<P> Inner<P> {
    /// The newest answer at `place`. For one that is new, those that nobody needs are forgotten.
    fn newest(&self, place: Address) -> Arc<AsyncMutex<Option<Answer>>> {
        // What is done under the lock leaves the map whole, however it ends.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newest) = answers.get(&place) {
            return Arc::clone(newest);
        }
        answers.retain(|_, newest| {
            let is_asked = Arc::strong_count(newest) > 1;
            is_asked || {
                let newest = newest.try_lock();
                newest.is_ok_and(|newest| newest.as_ref().is_some_and(|known| self.is_fresh(known)))
            }
        });
        Arc::clone(answers.entry(place).or_default())
    }

    /// Whether `known` may be told of the endpoint with this record.
    fn is_news(&self, known: &Answer, serial: u64) -> bool {
        self.is_fresh(known) && !known.told.contains(&serial)
    }

    fn is_fresh(&self, known: &Answer) -> bool {
        known.came.elapsed() < self.freshness
    }
}
