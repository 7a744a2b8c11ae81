//! Probes that answer as they are told, and upstreams to probe with them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tightrope_health::{HealthCheck, Probe, ProbeError, probe::ProbeFuture};
use tightrope_upstream::{
    Change, Endpoint, EndpointId, EndpointSpec, EventKind, Events, Health, Upstream,
};
use tokio::{sync::mpsc, time::Instant};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What a scripted probe does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Pass,
    Fail,
    Hang,
    Panic,
    /// Passes after so long.
    Late(Duration),
}

/// A probe that began, or whose future was dropped before it answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Began(String, Instant),
    Dropped(String),
}

/// Answers [`Answer::Pass`] unless told otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Scripted {
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    seen: mpsc::UnboundedSender<Seen>,
}

/// What a scripted probe saw.
pub(crate) struct Sight(mpsc::UnboundedReceiver<Seen>);

struct Unanswered<'a>(&'a Scripted, &'a Endpoint, bool);

pub(crate) fn scripted() -> (Scripted, Sight) {
    let (seen, sight) = mpsc::unbounded_channel();
    let answers = Arc::default();
    (Scripted { answers, seen }, Sight(sight))
}

impl Scripted {
    /// From now on, probes of `id` do this.
    pub(crate) fn answer(&self, id: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(id.to_owned(), answer);
    }
}

impl Probe for Scripted {
    fn probe<'a>(&'a self, endpoint: &'a Endpoint) -> ProbeFuture<'a> {
        let id = endpoint.id().to_string();
        let _ = self.seen.send(Seen::Began(id.clone(), Instant::now()));
        let answer = self.answers.lock().unwrap().get(&id).copied();
        Box::pin(async move {
            let mut unanswered = Unanswered(self, endpoint, true);
            match answer.unwrap_or(Answer::Pass) {
                Answer::Hang => std::future::pending().await,
                Answer::Panic => panic!("as scripted"),
                Answer::Pass => {}
                Answer::Late(after) => tokio::time::sleep(after).await,
                Answer::Fail => {
                    unanswered.2 = false;
                    return Err(ProbeError::Unexpected("as scripted".to_owned()));
                }
            }
            unanswered.2 = false;
            Ok(())
        })
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.2 {
            let id = self.1.id().to_string();
            let _ = self.0.seen.send(Seen::Dropped(id));
        }
    }
}

impl Sight {
    /// What is seen next; time passes until then.
    pub(crate) async fn next(&mut self) -> Seen {
        self.0.recv().await.expect("somebody probes")
    }

    /// The next probe that begins: of whom, and when.
    pub(crate) async fn began(&mut self) -> (String, Instant) {
        loop {
            if let Seen::Began(id, at) = self.next().await {
                return (id, at);
            }
        }
    }

    /// Whether nobody is left who could probe; waits until then.
    pub(crate) async fn is_over(&mut self) -> bool {
        while self.0.recv().await.is_some() {}
        true
    }

    /// Whether nothing is seen for so long.
    pub(crate) async fn is_still_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.next()).await.is_err()
    }
}

/// Who is at port `port`.
pub(crate) fn id(port: u16) -> EndpointId {
    EndpointId::new(&name(port)).unwrap()
}

pub(crate) fn name(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

pub(crate) fn spec(port: u16) -> EndpointSpec {
    EndpointSpec::new(name(port).parse().unwrap())
}

/// An upstream with members at these ports.
pub(crate) fn upstream(initial: Health, ports: impl IntoIterator<Item = u16>) -> Upstream {
    let upstream = Upstream::with_initial_health("test", initial);
    let members = ports.into_iter().map(spec);
    upstream.apply(Change::new().replace(members)).unwrap();
    upstream
}

/// A check every second on the second, with the default thresholds: rise 2, fall 3.
pub(crate) fn check(upstream: &Upstream, probe: &Scripted) -> HealthCheck {
    check_by(upstream, probe.clone())
}

pub(crate) fn check_by(upstream: &Upstream, probe: impl Probe) -> HealthCheck {
    let check = HealthCheck::new(upstream, probe);
    let check = check.with_interval(SECOND).unwrap();
    let check = check.with_timeout(SECOND / 2).unwrap();
    check.with_jitter(0.0).unwrap()
}

/// The next verdict of the check: on whom, which and why. Time passes until then.
pub(crate) async fn verdict(events: &mut Events) -> (String, Health, String) {
    loop {
        let event = events.next().await.unwrap().unwrap();
        if let EventKind::Health {
            endpoint,
            health,
            reason,
        } = event.kind
        {
            return (endpoint.to_string(), health, reason.to_string());
        }
    }
}
