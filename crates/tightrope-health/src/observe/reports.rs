//! The way from live traffic to the health check.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tightrope_upstream::{Endpoint, Failure, Outcome};
use tokio::sync::mpsc;

use super::{Listen, Listening};

/// Takes reports of live traffic to a [`HealthCheck`](crate::HealthCheck). Cheap to clone.
///
/// An attempt that could not connect ([`Failure::Connect`], [`Failure::ConnectTimeout`]) counts
/// against its endpoint like a failed probe, toward the same `fall`, and has a healthy endpoint
/// probed at once. An attempt that was answered ([`Outcome::Success`], [`Failure::Response`],
/// [`Failure::Gateway`]) takes back what live traffic told before, but never what probes found, and
/// never counts toward `rise`. Other failures say nothing of whether the endpoint can be reached. Of
/// an endpoint that is unhealthy already nothing is counted: probes bring it back.
///
/// Reporting never waits and takes no lock. An answer from an endpoint that nothing was told
/// against, which is nearly every report, costs one load of a word that seldom changes; an
/// [`ObserveLayer`](super::ObserveLayer) adds a clone for each attempt, as the bench `outcome` shows.
/// All other reports go through a queue of 1024; while that is full, further ones are dropped.
/// Reports after the end of the [`HealthTask`](crate::HealthTask), and of endpoints of other
/// upstreams, are ignored.
#[derive(Clone, Debug)]
pub struct LiveReports(Arc<Line>);

/// What all clones of [`LiveReports`] share; one count for both, which every attempt changes twice.
#[derive(Debug)]
struct Line {
    suspects: Arc<Suspects>,
    queue: mpsc::Sender<LiveReport>,
}

/// Which endpoints live traffic told against, in 64 bits: of each, that of its serial modulo 64.
/// Others that share the bit send reports that change nothing.
#[derive(Debug, Default)]
pub(crate) struct Suspects(AtomicU64);

/// One attempt that is under way.
#[derive(Debug)]
pub struct LiveAttempt {
    reports: LiveReports,
    /// Of the endpoint's record.
    serial: u64,
}

/// The end of [`LiveReports`] where the reports arrive.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) suspects: Arc<Suspects>,
    pub(crate) queue: mpsc::Receiver<LiveReport>,
}

/// What was told of the endpoint whose record has this serial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveReport {
    pub(crate) serial: u64,
    /// `None` is an answer.
    pub(crate) failure: Option<Failure>,
}

const QUEUE: usize = 1024;

pub(crate) fn channel() -> (LiveReports, Reported) {
    let suspects = Arc::new(Suspects::default());
    let (sender, receiver) = mpsc::channel(QUEUE);
    let reports = LiveReports(Arc::new(Line {
        suspects: Arc::clone(&suspects),
        queue: sender,
    }));
    let reported = Reported {
        suspects,
        queue: receiver,
    };
    (reports, reported)
}

// === impl LiveReports ===

impl LiveReports {
    /// Tells how an attempt on `endpoint` ended.
    pub fn report(&self, endpoint: &Endpoint, outcome: Outcome) {
        self.tell(endpoint.record().serial(), outcome);
    }

    fn tell(&self, serial: u64, outcome: Outcome) {
        let failure = match outcome {
            Outcome::Success | Outcome::Failure(Failure::Response | Failure::Gateway) => {
                if !self.0.suspects.may_have(serial) {
                    return;
                }
                None
            }
            Outcome::Failure(failure @ (Failure::Connect | Failure::ConnectTimeout)) => {
                Some(failure)
            }
            _ => return,
        };
        // An error means that the queue is full, or nobody reads it any more.
        let _dropped = self.0.queue.try_send(LiveReport { serial, failure });
    }
}

impl Listen for LiveReports {
    type Listening = LiveAttempt;

    fn begin(&self, endpoint: &Arc<Endpoint>) -> LiveAttempt {
        LiveAttempt {
            reports: self.clone(),
            serial: endpoint.record().serial(),
        }
    }
}

impl Listening for LiveAttempt {
    fn end(self, outcome: Outcome) {
        self.reports.tell(self.serial, outcome);
    }
}

// === impl Suspects ===

impl Suspects {
    /// Makes these the suspects.
    pub(crate) fn set(&self, serials: impl Iterator<Item = u64>) {
        let word = serials.fold(0, |word, serial| word | bit(serial));
        // Relaxed, here and below: a hint that orders nothing. Who reads the old word behaves as if
        // its answer had come before the failure that changed the word.
        self.0.store(word, Ordering::Relaxed);
    }

    fn may_have(&self, serial: u64) -> bool {
        self.0.load(Ordering::Relaxed) & bit(serial) != 0
    }
}

const fn bit(serial: u64) -> u64 {
    1 << (serial % 64)
}

#[cfg(test)]
mod tests {
    use tightrope_upstream::{Change, EndpointSpec, Upstream};

    use super::*;

    const REFUSED: Outcome = Outcome::Failure(Failure::Connect);

    fn endpoint() -> Arc<Endpoint> {
        let upstream = Upstream::new("test");
        let spec = EndpointSpec::new("127.0.0.1:1".parse().unwrap());
        upstream.apply(Change::new().add(spec)).unwrap();
        Arc::clone(&upstream.snapshot().members()[0])
    }

    #[test]
    fn only_the_answers_of_suspects_are_queued() {
        let (reports, mut reported) = channel();
        let (suspect, other) = (endpoint(), endpoint());
        reports.report(&suspect, Outcome::Success);
        assert!(reported.queue.try_recv().is_err());

        let serial = suspect.record().serial();
        reported.suspects.set([serial].into_iter());
        reports.report(&other, Outcome::Success);
        assert!(reported.queue.try_recv().is_err());
        reports.report(&suspect, Outcome::Success);
        assert_eq!(reported.queue.try_recv().unwrap().serial, serial);
    }

    #[test]
    fn a_full_queue_drops_reports_and_holds_up_nobody() {
        let (reports, mut reported) = channel();
        let endpoint = endpoint();
        for _ in 0..2 * QUEUE {
            reports.report(&endpoint, REFUSED);
        }
        let queued = std::iter::from_fn(|| reported.queue.try_recv().ok());
        assert_eq!(queued.count(), QUEUE);
    }
}
