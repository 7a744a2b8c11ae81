//! The way from live traffic to the detection.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use tightrope_upstream::{Endpoint, Failure, Fault, Outcome};
use tokio::time::Instant;

use super::{
    Detector,
    tally::{News, Tallies, Tally},
};
use crate::observe::{Listen, Listening};

/// Takes reports of live traffic to an [`OutlierDetection`](super::OutlierDetection). Cheap to clone.
///
/// Reporting never waits and takes no lock. A success costs a look for the endpoint's counters among
/// those of all members, an atomic addition to them and two to their reference count, and a few loads;
/// the clock is read only where latency is judged. No word is written to that attempts on different
/// endpoints share. The bench `outcome` shows it. Who has failed too often in a row is told to the detection through a queue, which drops
/// what does not fit: the next failure tells it again.
///
/// Reports after the end of the [`OutlierTask`](super::OutlierTask), and of endpoints of other
/// upstreams, are ignored.
#[derive(Clone)]
pub struct OutlierReports {
    tallies: Arc<Tallies>,
}

/// One attempt that is under way.
#[derive(Debug)]
pub struct Watched {
    /// None where the endpoint is no member any more.
    attempt: Option<Attempt>,
}

#[derive(Debug)]
struct Attempt {
    tally: Arc<Tally>,
    era: u32,
    /// None where latency is not judged.
    began: Option<Instant>,
}

/// Which kind of failure it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The endpoint answered that it failed.
    Answer,
    /// It answered that somebody behind it failed.
    Gateway,
    /// It did not answer.
    Local,
}

// === impl OutlierReports ===

impl OutlierReports {
    pub(super) const fn new(tallies: Arc<Tallies>) -> Self {
        Self { tallies }
    }
}

impl Listen for OutlierReports {
    type Listening = Watched;

    fn begin(&self, endpoint: &Arc<Endpoint>) -> Watched {
        let tally = self.tallies.find(endpoint.record().serial());
        Watched {
            attempt: tally.map(|tally| Attempt {
                era: tally.era.load(Ordering::Relaxed),
                began: tally.limits.judges_latency.then(Instant::now),
                tally,
            }),
        }
    }
}

impl fmt::Debug for OutlierReports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the tallies: there may be thousands.
        f.debug_struct("OutlierReports").finish_non_exhaustive()
    }
}

// === impl Watched ===

impl Listening for Watched {
    fn end(self, outcome: Outcome) {
        if let Some(attempt) = self.attempt {
            attempt.end(outcome);
        }
    }
}

// === impl Attempt ===

impl Attempt {
    fn end(&self, outcome: Outcome) {
        let tally = &*self.tally;
        // What was sent before it was ejected says nothing of how it is now.
        if tally.era.load(Ordering::Relaxed) != self.era {
            return;
        }
        match outcome {
            Outcome::Success => {
                self.answered();
                tally.succeeded();
                for row in [&tally.failures, &tally.gateway, &tally.local] {
                    tally.end_row(row);
                }
                tally.pass(self.era);
            }
            Outcome::Failure(failure) if failure.fault() == Fault::Upstream => self.failed(failure),
            _ => {}
        }
    }

    fn failed(&self, failure: Failure) {
        let (tally, kind) = (&*self.tally, Kind::of(failure));
        if tally.is_in_doubt() {
            self.tell(Detector::Probation, 1, failure);
        }
        if kind != Kind::Local {
            self.answered();
            tally.end_row(&tally.local);
        } else if tally.limits.local.is_some() {
            // It is none of the other detectors' business.
            return self.count(Detector::LocalFailures, failure);
        }
        tally.failed();
        self.count(Detector::ConsecutiveFailures, failure);
        if kind == Kind::Answer {
            tally.end_row(&tally.gateway);
        } else {
            self.count(Detector::GatewayFailures, failure);
        }
    }

    /// Counts one more in a row, where there is a limit.
    fn count(&self, detector: Detector, last: Failure) {
        let (tally, limits) = (&*self.tally, self.tally.limits);
        let (row, most) = match detector {
            Detector::GatewayFailures => (&tally.gateway, limits.gateway),
            Detector::LocalFailures => (&tally.local, limits.local),
            _ => (&tally.failures, limits.failures),
        };
        let Some(most) = most else { return };
        let failures = tally.in_a_row(row);
        if failures >= most {
            self.tell(detector, failures, last);
        }
    }

    fn tell(&self, detector: Detector, failures: u32, last: Failure) {
        let news = News::Failed {
            detector,
            failures,
            last,
        };
        self.tally.tell(self.era, news);
    }

    fn answered(&self) {
        if let Some(began) = self.began {
            self.tally.answered(began.elapsed().as_nanos() as u64);
        }
    }
}

// === impl Kind ===

impl Kind {
    const fn of(failure: Failure) -> Self {
        match failure {
            Failure::Response => Self::Answer,
            Failure::Gateway => Self::Gateway,
            _ => Self::Local,
        }
    }
}
