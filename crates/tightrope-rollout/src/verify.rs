//! A look at live traffic after the switch.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tightrope_upstream::{Group, Reason, Record, Snapshot, Totals};

use crate::{Share, gate::members};

/// Watches the live traffic of the new group after the switch, and goes back by itself when too much of it fails.
///
/// What counts are the attempts on the endpoints of the group that end after the switch, by their outcome; those that
/// were dropped before they ended count for neither side. As long as there are too few to judge by, nothing is held
/// against the group: a group that gets no request at all is verified when the time is over.
#[derive(Clone, Debug)]
#[must_use]
pub struct Verify {
    duration: Duration,
    interval: Duration,
    limit: Share,
    min_requests: u64,
}

/// The records of a group, and what they counted when it began to be watched.
#[derive(Default)]
pub(crate) struct Watched(HashMap<u64, (Arc<Record>, Totals)>);

/// What ended since then.
#[derive(Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

// === impl Verify ===

impl Verify {
    /// Watches for `duration` after the switch.
    pub const fn new(duration: Duration) -> Self {
        Self {
            duration,
            interval: Duration::from_secs(1),
            limit: Share::FIVE_PERCENT,
            min_requests: 20,
        }
    }

    /// The share of failures from which on the traffic is given back; default 5%.
    pub const fn with_limit(mut self, limit: Share) -> Self {
        self.limit = limit;
        self
    }

    /// How many attempts must have ended before the share is judged; default 20.
    pub const fn with_min_requests(mut self, requests: u64) -> Self {
        self.min_requests = requests;
        self
    }

    /// The time from one look to the next; default 1 s, at least 1 ms.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How long to wait before the next look, `elapsed` after the switch; `None` when it was the last.
    pub(crate) fn pause(&self, elapsed: Duration) -> Option<Duration> {
        let left = self.duration.saturating_sub(elapsed);
        (!left.is_zero()).then(|| self.interval.min(left))
    }

    /// # Errors
    /// Too much failed.
    pub(crate) fn judge(&self, tally: Tally) -> Result<(), Reason> {
        let Tally { succeeded, failed } = tally;
        let all = succeeded.saturating_add(failed);
        if all >= self.min_requests && self.limit.is_reached(failed, all) {
            let limit = self.limit;
            return Err(Reason::from(format!(
                "{failed} of {all} requests failed, the limit is {limit}"
            )));
        }
        Ok(())
    }
}

// === impl Watched ===

impl Watched {
    /// Begins to watch the members of `group` that are not watched yet. Those that leave stay watched.
    pub(crate) fn extend(&mut self, snapshot: &Snapshot, group: &Group) {
        for endpoint in members(snapshot, group) {
            let record = endpoint.record();
            self.0
                .entry(record.serial())
                .or_insert_with(|| (Arc::clone(record), record.totals()));
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally {
            succeeded: 0,
            failed: 0,
        };
        for (record, before) in self.0.values() {
            let now = record.totals();
            tally.succeeded += now.succeeded.saturating_sub(before.succeeded);
            tally.failed += now.failed.saturating_sub(before.failed);
        }
        tally
    }
}
