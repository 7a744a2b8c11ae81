//! The servers of a recording, our detection, and a balancer in front of them.

use std::{num::NonZeroU32, ops::Range, sync::Arc, time::Duration};

use tightrope::{
    balance::{Balance, Priorities},
    health::{
        Listen, Listening,
        outlier::{OutlierDetection, OutlierTask},
    },
    upstream::{
        Attempt, Change, Ejection, Endpoint, EndpointId, EndpointSpec, Failure, Outcome, Pick,
        Upstream, Weight,
    },
};
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::recording::{Recording, Request};

/// How live traffic finds a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    In,
    Out,
    OnTrial,
}

pub(crate) struct World<'r> {
    recording: &'r Recording,
    start: Instant,
    upstream: Upstream,
    /// None where there is no limit on failures.
    task: Option<OutlierTask>,
    balance: Balance<()>,
    refuse: Vec<usize>,
}

/// A recorded second.
///
/// nginx counts whole seconds, and lets a server back in the first that is more than `fail_timeout` after
/// its failure; ours is back when `fail_timeout` is over. With seconds a thousandth shorter, `fail_timeout`
/// of them are not quite enough and one more is, so what nginx compares in whole seconds is compared
/// alike here. No recording is long enough for the thousandths to add up to a second.
const RECORDED_SECOND: Duration = Duration::from_millis(999);

impl<'r> World<'r> {
    pub(crate) fn new(recording: &'r Recording) -> Self {
        let servers = &recording.config.servers;
        let upstream = Upstream::new(&recording.id);
        let specs = (1..).zip(servers).map(|(number, server)| {
            let spec = EndpointSpec::new(format!("10.0.0.1:{number}").parse().unwrap())
                .with_id(EndpointId::new(&server.name).unwrap())
                .with_weight(Weight::new(server.weight).unwrap())
                .with_priority(u8::from(server.backup));
            match server.max_conns {
                Some(most) => spec.with_max_in_flight(NonZeroU32::new(most).unwrap()),
                None => spec,
            }
        });
        upstream.apply(Change::new().replace(specs)).unwrap();
        let (most, timeout) = (servers[0].max_fails, servers[0].fail_timeout);
        let are_alike = servers
            .iter()
            .all(|server| (server.max_fails, server.fail_timeout) == (most, timeout));
        assert!(are_alike, "one detection for all");
        let task = (most > 0).then(|| {
            let timeout = Duration::from_secs(timeout);
            let detection = OutlierDetection::nginx(&upstream, most, timeout).unwrap();
            detection.with_seed(1).spawn()
        });
        let algorithm = recording.algorithm;
        let strategy = Priorities::new(move || algorithm.strategy()).without_spill();
        Self {
            balance: Balance::new(&upstream, strategy, ()).with_seed(1),
            recording,
            start: Instant::now(),
            upstream,
            task,
            refuse: Vec::new(),
        }
    }

    /// From now on these refuse connections.
    pub(crate) fn refuse(&mut self, servers: &[usize]) {
        self.refuse = servers.to_vec();
    }

    pub(crate) fn refuses(&self, server: usize) -> bool {
        self.refuse.contains(&server)
    }

    pub(crate) fn is_backup(&self, server: usize) -> bool {
        self.recording.config.servers[server].backup
    }

    /// Waits for this second.
    pub(crate) async fn at(&self, second: u64) {
        let second = u32::try_from(second).unwrap();
        sleep_until(self.start + RECORDED_SECOND * second).await;
        settle().await;
    }

    /// The places of all.
    pub(crate) fn servers(&self) -> Range<usize> {
        0..self.recording.config.servers.len()
    }

    pub(crate) fn server(&self, server: usize) -> Arc<Endpoint> {
        Arc::clone(&self.upstream.snapshot().members()[server])
    }

    pub(crate) fn states(&self) -> Vec<State> {
        let snapshot = self.upstream.snapshot();
        let members = snapshot.members().iter();
        let ejections = members.map(|member| member.record().status().ejection.value());
        let states = ejections.map(|ejection| match ejection {
            Ejection::Ejected => State::Out,
            Ejection::OnTrial => State::OnTrial,
            _ => State::In,
        });
        states.collect()
    }

    /// Where an attempt of `request` goes, if anywhere.
    pub(crate) fn pick(&mut self, request: &Request, attempt: &Attempt) -> Option<Pick> {
        self.balance.pick(&request.context(attempt)).ok()
    }

    /// The server that was picked.
    pub(crate) fn place(&self, pick: &Pick) -> usize {
        let mut servers = self.recording.config.servers.iter();
        let name = pick.endpoint().id().as_str();
        servers.position(|server| server.name == name).unwrap()
    }

    /// An attempt ends as the server has it end; tells whether that refused.
    pub(crate) async fn attempt(&self, mut pick: Pick) -> bool {
        let watched = self
            .task
            .as_ref()
            .map(|task| task.reports().begin(pick.endpoint()));
        let is_refused = self.refuses(self.place(&pick));
        let outcome = if is_refused {
            Outcome::Failure(Failure::Connect)
        } else {
            Outcome::Success
        };
        pick.set_outcome(outcome);
        if let Some(watched) = watched {
            watched.end(outcome);
        }
        drop(pick);
        settle().await;
        is_refused
    }

    /// Sends `request` where our balancer sends it, and on to another for as long as it is refused.
    pub(crate) async fn send(&mut self, request: &Request) -> Vec<Option<usize>> {
        let (mut route, mut attempt) = (Vec::new(), Attempt::first());
        loop {
            let Some(pick) = self.pick(request, &attempt) else {
                route.push(None);
                return route;
            };
            let (place, id) = (self.place(&pick), pick.endpoint().id().clone());
            route.push(Some(place));
            if !self.attempt(pick).await {
                return route;
            }
            attempt = attempt.next(id);
        }
    }
}

/// Lets the detection see what it was told.
async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}
