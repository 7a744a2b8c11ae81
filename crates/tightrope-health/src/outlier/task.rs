//! The owner of an outlier detection that runs.

use tokio::task::JoinHandle;

use super::{OutlierCounts, OutlierReports};

/// An outlier detection that runs:
/// [`OutlierDetection::spawn`](super::OutlierDetection::spawn) makes it.
///
/// Dropping it ends the detection. Who is ejected then stays so until another detection of the same
/// upstream has begun and its first time is over, or until somebody
/// [restores](tightrope_upstream::Change::restore) it.
#[derive(Debug)]
#[must_use = "dropping the task ends it"]
pub struct OutlierTask {
    worker: JoinHandle<()>,
    reports: OutlierReports,
    counts: OutlierCounts,
}

impl OutlierTask {
    pub(super) const fn new(
        worker: JoinHandle<()>,
        reports: OutlierReports,
        counts: OutlierCounts,
    ) -> Self {
        Self {
            worker,
            reports,
            counts,
        }
    }

    /// Where live traffic is reported to.
    #[must_use]
    pub fn reports(&self) -> OutlierReports {
        self.reports.clone()
    }

    /// What was found so far.
    #[must_use]
    pub const fn counts(&self) -> &OutlierCounts {
        &self.counts
    }
}

impl Drop for OutlierTask {
    fn drop(&mut self) {
        self.worker.abort();
    }
}
