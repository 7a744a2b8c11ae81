//! An upstream, a detection, and traffic.

use std::{sync::Arc, time::Duration};

use tightrope_health::{
    Listen, Listening,
    outlier::{OutlierDetection, OutlierTask},
};
use tightrope_upstream::{
    Change, Ejection, Endpoint, EndpointId, EndpointSpec, Failure, Outcome, Upstream,
};
use tokio::time::Instant;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const FAILED: Outcome = Outcome::Failure(Failure::Response);
pub(crate) const REFUSED: Outcome = Outcome::Failure(Failure::Connect);

pub(crate) struct World {
    pub(crate) upstream: Upstream,
    pub(crate) task: OutlierTask,
}

impl World {
    /// So many endpoints, watched as `settings` says.
    pub(crate) fn new(
        count: usize,
        settings: impl FnOnce(OutlierDetection) -> OutlierDetection,
    ) -> Self {
        Self::of(count, |upstream| settings(OutlierDetection::new(upstream)))
    }

    /// So many endpoints, watched by this detection.
    pub(crate) fn of(count: usize, detection: impl FnOnce(&Upstream) -> OutlierDetection) -> Self {
        let upstream = Upstream::new("test");
        let specs = (0..count).map(|n| EndpointSpec::new(address(n).parse().unwrap()));
        upstream.apply(Change::new().replace(specs)).unwrap();
        let task = detection(&upstream).with_seed(1).spawn();
        Self { upstream, task }
    }

    pub(crate) fn endpoint(&self, n: usize) -> Arc<Endpoint> {
        let snapshot = self.upstream.snapshot();
        let (endpoint, _) = snapshot.get(&id(n)).unwrap();
        Arc::clone(endpoint)
    }

    /// An attempt on the `n`-th ends like this.
    pub(crate) fn report(&self, n: usize, outcome: Outcome) {
        self.task.reports().begin(&self.endpoint(n)).end(outcome);
    }

    /// So many attempts end like this, and the detection has seen them.
    pub(crate) async fn reports(&self, n: usize, outcome: Outcome, count: usize) {
        for _ in 0..count {
            self.report(n, outcome);
        }
        settle().await;
    }

    pub(crate) fn is_ejected(&self, n: usize) -> bool {
        self.endpoint(n).record().status().ejection.value() == Ejection::Ejected
    }

    /// The numbers of those who are ejected.
    pub(crate) fn ejected(&self) -> Vec<usize> {
        let count = self.upstream.snapshot().members().len();
        (0..count).filter(|&n| self.is_ejected(n)).collect()
    }

    pub(crate) fn reason(&self, n: usize) -> String {
        let status = self.endpoint(n).record().status();
        status.ejection.reason().as_str().to_owned()
    }

    /// How long the `n`-th stays ejected from now on.
    pub(crate) async fn until_restored(&self, n: usize) -> Duration {
        let (start, mut events) = (Instant::now(), self.upstream.events());
        while self.is_ejected(n) {
            events.next().await.unwrap();
        }
        start.elapsed()
    }
}

pub(crate) fn id(n: usize) -> EndpointId {
    EndpointSpec::new(address(n).parse().unwrap()).id
}

fn address(n: usize) -> String {
    format!("10.0.{}.{}:80", n / 200, n % 200 + 1)
}

/// Lets the detection see what was told so far.
pub(crate) async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}
