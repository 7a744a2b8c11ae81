//! The owner of a health check that runs.

use tokio::task::JoinHandle;

use crate::LiveReports;

/// A health check that runs: [`HealthCheck::spawn`](crate::HealthCheck::spawn) makes it.
///
/// Dropping it ends the check and every probe that is under way. The verdicts stay as they are.
#[derive(Debug)]
#[must_use = "dropping the task ends it"]
pub struct HealthTask {
    worker: JoinHandle<()>,
    reports: LiveReports,
}

impl HealthTask {
    pub(crate) const fn new(worker: JoinHandle<()>, reports: LiveReports) -> Self {
        Self { worker, reports }
    }

    /// Where live traffic is reported to.
    #[must_use]
    pub fn live_reports(&self) -> LiveReports {
        self.reports.clone()
    }
}

impl Drop for HealthTask {
    fn drop(&mut self) {
        self.worker.abort();
    }
}
