//! A rollout on its way.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tightrope_upstream::{Reason, Update};
use tokio::time::{Instant, sleep};

use crate::{
    BlueGreen, Report, Rollback, RolloutError, Step, StepReport, Verify,
    switch::{Halt, Switch},
    verify::Watched,
};

/// A rollout that was started: run it, and keep its [`Rollback`] at hand.
#[must_use = "a rollout does nothing until it is run"]
pub struct Rollout {
    plan: BlueGreen,
    switch: Arc<Switch>,
    journal: Journal,
}

/// The steps so far, and who is told of them.
struct Journal {
    report: Report,
    progress: Option<Box<dyn FnMut(&StepReport) + Send>>,
    since: Instant,
}

/// Why the new group is not to keep the traffic.
enum Fault {
    /// It failed.
    Failed(Reason),
    /// It has lost it already.
    Overtaken,
}

// === impl Rollout ===

impl Rollout {
    pub(crate) fn new(plan: BlueGreen, switch: Arc<Switch>) -> Self {
        Self {
            plan,
            switch,
            journal: Journal {
                report: Report::default(),
                progress: None,
                since: Instant::now(),
            },
        }
    }

    /// The way back. It works before, while and after the rollout runs.
    #[must_use]
    pub fn rollback(&self) -> Rollback {
        Rollback::new(Arc::clone(&self.switch))
    }

    /// Tells `progress` of each step when it is done. It is called where the rollout runs, so it should be quick; it
    /// may call [`Rollback::now`].
    pub fn with_progress(mut self, progress: impl FnMut(&StepReport) + Send + 'static) -> Self {
        self.journal.progress = Some(Box::new(progress));
        self
    }

    /// Carries it out. `Ok` means that the new group has the traffic, and that the old one was waited for.
    ///
    /// # Errors
    /// The new group did not get the traffic, or does not have it any more; see [`RolloutError`].
    ///
    /// # Cancellation
    /// Dropping the future before the switch changes nothing. Dropping it after the switch leaves the traffic where it
    /// is by then; only nobody verifies and waits any more. The [`Rollback`] works in either case.
    pub async fn run(mut self) -> Result<Report, RolloutError> {
        let switch = Arc::clone(&self.switch);
        self.journal.since = Instant::now();
        let (update, watched) = match unless(switch.taken_back(), self.open()).await {
            Some(opened) => opened?,
            None => return self.back().await,
        };
        let kept = unless(switch.taken_back(), self.keep(&update, watched)).await;
        match kept {
            Some(Ok(())) => Ok(self.journal.report),
            // Seen by the snapshot alone, so it may be a rollback that is just going on.
            None | Some(Err(Fault::Overtaken)) => self.back().await,
            Some(Err(Fault::Failed(reason))) => match switch.take_back(reason.clone()) {
                Ok(_) => self.back().await,
                Err(error) => Err(RolloutError::NotRolledBack {
                    reason,
                    error,
                    report: self.journal.report,
                }),
            },
        }
    }

    /// Tries the gate until it opens, and switches.
    async fn open(&mut self) -> Result<(Update, Watched), RolloutError> {
        let (gate, switch) = (&self.plan.gate, &*self.switch);
        let group = &switch.to;
        let mut number = 0;
        loop {
            let begun = Instant::now();
            number += 1;
            let answers = gate.ask(&switch.upstream.snapshot(), group).await;
            let mut watched = Watched::default();
            let moved = switch.forward(|snapshot| {
                watched.extend(snapshot, group);
                gate.judge(snapshot, group, &answers)
            });
            match moved {
                Ok((unfit, update)) => {
                    self.journal.note(Step::Ready {
                        tries: number,
                        unfit,
                    });
                    return Ok((update, watched));
                }
                Err(Halt::Ended(error)) => return Err(error),
                Err(Halt::Unfit(unfit)) if number == gate.tries() => {
                    return Err(RolloutError::NotReady {
                        group: group.clone(),
                        tries: number,
                        unfit,
                    });
                }
                Err(Halt::Unfit(unfit)) => self.journal.note(Step::NotReady { number, unfit }),
            }
            sleep(gate.interval().saturating_sub(begun.elapsed())).await;
        }
    }

    /// Sees the switch through to the end.
    async fn keep(&mut self, update: &Update, watched: Watched) -> Result<(), Fault> {
        update.applied().await;
        self.journal.note(Step::Switched {
            generation: update.generation(),
            from: self.switch.from.clone(),
            to: self.switch.to.clone(),
        });
        if let Some(verify) = self.plan.verify.clone() {
            self.verify(&verify, watched).await?;
        }
        let drain = update.drained(self.plan.drain_deadline).await;
        self.journal.note(Step::Drained(drain));
        Ok(())
    }

    async fn verify(&mut self, verify: &Verify, mut watched: Watched) -> Result<(), Fault> {
        let begun = Instant::now();
        loop {
            let pause = verify.pause(begun.elapsed());
            sleep(pause.unwrap_or(Duration::ZERO)).await;
            let (snapshot, group) = (self.switch.upstream.snapshot(), &self.switch.to);
            if snapshot.active_group() != Some(group) {
                return Err(Fault::Overtaken);
            }
            watched.extend(&snapshot, group);
            let tally = watched.tally();
            verify.judge(tally).map_err(Fault::Failed)?;
            if verify.pause(begun.elapsed()).is_none() {
                self.journal.note(Step::Verified {
                    succeeded: tally.succeeded,
                    failed: tally.failed,
                });
                return Ok(());
            }
        }
    }

    /// Sees the way back through to the end, whoever took it.
    async fn back(mut self) -> Result<Report, RolloutError> {
        let Some((reason, update)) = self.switch.way_back() else {
            return Err(RolloutError::Overtaken {
                active: self.switch.upstream.snapshot().active_group().cloned(),
                report: self.journal.report,
            });
        };
        let Some(update) = update else {
            return Err(RolloutError::Cancelled { reason });
        };
        update.applied().await;
        self.journal.note(Step::RolledBack {
            generation: update.generation(),
            reason: reason.clone(),
        });
        let drain = update.drained(self.plan.drain_deadline).await;
        self.journal.note(Step::Drained(drain));
        Err(RolloutError::RolledBack {
            reason,
            report: self.journal.report,
        })
    }
}

impl fmt::Debug for Rollout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rollout")
            .field("plan", &self.plan)
            .field("switch", &self.switch)
            .finish_non_exhaustive()
    }
}

// === impl Journal ===

impl Journal {
    fn note(&mut self, step: Step) {
        let now = Instant::now();
        let took = now.duration_since(self.since);
        self.since = now;
        let report = StepReport { step, took };
        if let Some(progress) = &mut self.progress {
            progress(&report);
        }
        self.report.steps.push(report);
    }
}

/// What `future` gives, unless `end` comes first. Where both are there, `end` counts.
async fn unless<F: Future>(end: impl Future<Output = ()>, future: F) -> Option<F::Output> {
    let (mut end, mut future) = (pin!(end), pin!(future));
    poll_fn(|cx| match end.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => future.as_mut().poll(cx).map(Some),
    })
    .await
}
