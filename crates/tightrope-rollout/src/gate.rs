//! What a group must show before it gets traffic.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tightrope_upstream::{Admin, Ejection, Endpoint, Group, Health, Reason, Snapshot};
use tokio::time::timeout;

use crate::{Check, Share, Unfit};

/// What a group must show before it gets traffic.
///
/// At each try enough of its endpoints must be fit at once: their probes do not speak against them, nor does live
/// traffic, and the [`Check`] passed if there is one. Those that are draining or have weight 0 get no traffic anyway
/// and do not count, on either side.
///
/// The first try is made at once.
#[derive(Clone)]
#[must_use]
pub struct Gate {
    tries: u32,
    interval: Duration,
    share: Share,
    check: Option<Arc<dyn Check>>,
}

/// What the checks of one try said, by the serial of the record: of the endpoint that was asked.
#[derive(Default)]
pub(crate) struct Answers(HashMap<u64, (Arc<Endpoint>, Result<(), Reason>)>);

// === impl Gate ===

impl Gate {
    /// 10 tries, 10 s apart, at each of which all endpoints must be fit, going by the verdicts in the upstream.
    pub fn new() -> Self {
        Self {
            tries: 10,
            interval: Duration::from_secs(10),
            share: Share::ALL,
            check: None,
        }
    }

    /// How often it is tried before the rollout is given up; default 10. 0 counts as 1.
    pub fn with_tries(mut self, tries: u32) -> Self {
        self.tries = tries.max(1);
        self
    }

    /// The time from the beginning of a try to that of the next; default 10 s, at least 1 ms. A check that has not
    /// answered by then has failed.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How many of the endpoints must be fit; default all. At least one must be, however small the share.
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = share;
        self
    }

    /// Asks each endpoint afresh at each try, all at the same time; default: none, the verdicts in the upstream
    /// decide alone.
    pub fn with_check(mut self, check: impl Check) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    pub(crate) const fn tries(&self) -> u32 {
        self.tries
    }

    pub(crate) const fn interval(&self) -> Duration {
        self.interval
    }

    /// Asks the endpoints of `group` that count.
    pub(crate) async fn ask(&self, snapshot: &Snapshot, group: &Group) -> Answers {
        let Some(check) = &self.check else {
            return Answers::default();
        };
        let asked: Vec<_> = counting(snapshot, group).cloned().collect();
        let mut pending: FuturesUnordered<_> = asked
            .iter()
            .enumerate()
            .map(|(index, endpoint)| {
                let answer = check.check(Arc::clone(endpoint));
                async move { (index, answer.await) }
            })
            .collect();
        let late = || Reason::from(format!("check: no answer within {:?}", self.interval));
        let mut answers: Vec<_> = asked.iter().map(|_| Err(late())).collect();
        let all = async {
            while let Some((index, answer)) = pending.next().await {
                answers[index] = answer.map_err(|reason| Reason::from(format!("check: {reason}")));
            }
        };
        // Who is late has failed; the others have answered.
        let _late = timeout(self.interval, all).await;
        let asked = asked.into_iter().zip(answers);
        Answers(asked.map(|pair| (pair.0.record().serial(), pair)).collect())
    }

    /// Whether the gate is open by `snapshot` after these answers, and who is not fit either way.
    pub(crate) fn judge(
        &self,
        snapshot: &Snapshot,
        group: &Group,
        answers: &Answers,
    ) -> Result<Vec<Unfit>, Vec<Unfit>> {
        let mut unfit = Vec::new();
        let (mut fit, mut all) = (0, 0);
        for endpoint in counting(snapshot, group) {
            all += 1;
            match self.fitness(endpoint, answers) {
                Ok(()) => fit += 1,
                Err(reason) => unfit.push(Unfit {
                    endpoint: endpoint.id().clone(),
                    reason,
                }),
            }
        }
        if self.share.is_reached(fit, all) {
            Ok(unfit)
        } else {
            Err(unfit)
        }
    }

    fn fitness(&self, endpoint: &Endpoint, answers: &Answers) -> Result<(), Reason> {
        let status = endpoint.record().status();
        if status.health.value() != Health::Healthy {
            return Err(Reason::from(format!(
                "unhealthy: {}",
                status.health.reason()
            )));
        }
        if status.ejection.value() != Ejection::In {
            return Err(Reason::from(format!(
                "ejected: {}",
                status.ejection.reason()
            )));
        }
        match &self.check {
            Some(_) => answers.of(endpoint),
            None => Ok(()),
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("tries", &self.tries)
            .field("interval", &self.interval)
            .field("share", &self.share)
            .field("check", &self.check.is_some())
            .finish()
    }
}

// === impl Answers ===

impl Answers {
    /// What was said of `endpoint` at the address that it has.
    fn of(&self, endpoint: &Endpoint) -> Result<(), Reason> {
        match self.0.get(&endpoint.record().serial()) {
            Some((asked, answer)) if asked.address() == endpoint.address() => answer.clone(),
            _ => Err(Reason::from("check: not asked yet")),
        }
    }
}

/// The members of `group` that would be in service if it had the traffic.
fn counting<'a>(snapshot: &'a Snapshot, group: &Group) -> impl Iterator<Item = &'a Arc<Endpoint>> {
    members(snapshot, group).filter(|endpoint| {
        endpoint.weight().get() > 0 && endpoint.record().status().admin.value() == Admin::Active
    })
}

/// The members of `group`.
pub(crate) fn members<'a>(
    snapshot: &'a Snapshot,
    group: &Group,
) -> impl Iterator<Item = &'a Arc<Endpoint>> {
    let members = snapshot.members().iter();
    members.filter(move |endpoint| endpoint.group() == Some(group))
}
