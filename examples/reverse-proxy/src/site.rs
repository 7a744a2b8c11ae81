//! One upstream of the proxy: its endpoints, their health, and the services that lead to them.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderName, Request};
use tightrope::{
    balance::{Balance, Context},
    forwarded::Client,
    health::{
        HealthTask, LiveReports, Observe, ObserveLayer, Probe, SlowStart,
        outlier::{OutlierReports, OutlierTask},
    },
    proxy::{Forward, HttpClassify, KeepWarm, server::RequestBody, splice::Spliced},
    retry::{Retry, attempt},
    upstream::{Change, ChangeError, Ejection, Health, Upstream},
};
use tower::Layer;

use crate::{
    config::{self, ConfigError},
    workers::Workers,
};

/// The way of a request once its upstream is known.
pub(crate) type Stack = Retry<Balance<Observe<Forward, Listeners, HttpClassify>, Describe>>;

/// Who is told how attempts end.
type Listeners = (Option<LiveReports>, Option<OutlierReports>);

pub(crate) struct Site {
    pub(crate) config: config::Upstream,
    pub(crate) upstream: Upstream,
    pub(crate) probe: Option<Arc<dyn Probe>>,
    /// That of each worker, over connections of its own; all choose as one.
    pub(crate) stacks: Vec<Stack>,
    /// Probes end with the site.
    _health: Option<HealthTask>,
    pub(crate) outlier: Option<OutlierTask>,
    _slow_start: Option<SlowStart>,
    _warm: Vec<KeepWarm>,
}

/// What the strategy may know of a request.
#[derive(Clone)]
pub(crate) struct Describe {
    /// The header that is hashed.
    header: Option<HeaderName>,
}

impl Site {
    /// A new site, over the upstream of an old one of the same name where there is one, with what
    /// forwards for each worker.
    pub(crate) fn start(
        config: config::Upstream,
        old: Option<&Self>,
        forwards: &[Forward],
        workers: &Workers,
    ) -> Result<Self, ConfigError> {
        let name = config.name.clone();
        let refused =
            |error: &dyn std::fmt::Display| ConfigError(format!("upstream `{name}`: {error}"));
        let upstream = match old {
            Some(old) => old.upstream.clone(),
            None => Upstream::with_initial_health(&name, initial_health(&config)),
        };
        upstream
            .apply(Self::change(&config, old))
            .map_err(|error| refused(&error))?;

        let probe = match &config.health {
            Some(health) => Some(health.probe().map_err(|error| refused(&error))?),
            None => None,
        };
        let health = match (&config.health, &probe) {
            (Some(health), Some(probe)) => {
                let check = health.watch(&upstream, Arc::clone(probe));
                Some(check.map_err(|error| refused(&error))?.spawn())
            }
            _ => None,
        };
        let outlier = match &config.outlier {
            Some(outlier) => {
                let detection = outlier.detection(&upstream);
                Some(detection.map_err(|error| refused(&error))?.spawn())
            }
            None => {
                // Nobody else would.
                restore_all(&upstream).map_err(|error| refused(&error))?;
                None
            }
        };
        let live_reports = health.as_ref().map(HealthTask::live_reports);
        let listeners = (live_reports, outlier.as_ref().map(OutlierTask::reports));
        let observe = ObserveLayer::new(listeners, HttpClassify);
        let header = config
            .hash_header
            .as_deref()
            .and_then(|name| name.parse().ok());
        let inner = observe.layer(forwards[0].clone());
        let balance = Balance::new(&upstream, config.strategy(), inner);
        let balance = config.limited(balance).with_describe(Describe { header });
        let retry = config.retry.layer().map_err(|error| refused(&error))?;
        let stack = retry.layer(balance);
        let stacks = forwards.iter().map(|forward| {
            let mut stack = stack.clone();
            *stack.get_mut().get_mut().get_mut() = forward.clone();
            stack
        });
        let ramp = config.ramp().map_err(|error| refused(&error))?;
        let mut warm = Vec::new();
        if config.connections.warm > 0 {
            let count = config.connections.warm.div_ceil(forwards.len());
            for (worker, forward) in forwards.iter().enumerate() {
                let _spawned_on = workers.runtime(worker).enter();
                warm.push(forward.keep_warm(&upstream, count));
            }
        }
        Ok(Self {
            _warm: warm,
            _slow_start: ramp.map(|ramp| SlowStart::spawn(&upstream, ramp)),
            config,
            upstream,
            probe,
            stacks: stacks.collect(),
            _health: health,
            outlier,
        })
    }

    /// What forwards for each worker.
    pub(crate) fn forwards(&self) -> impl Iterator<Item = &Forward> {
        self.stacks
            .iter()
            .map(|stack| stack.get_ref().get_ref().get_ref())
    }

    /// What makes the upstream of `old` that of `config`. The group that gets the traffic stays
    /// what it was made by hand unless the file says something new.
    pub(crate) fn change(config: &config::Upstream, old: Option<&Self>) -> Change {
        let change = Change::new()
            .replace(config.specs())
            .limit_in_flight(config.max_in_flight);
        match (&config.active_group, old) {
            (group, Some(old)) if *group == old.config.active_group => change,
            (Some(group), _) => change.activate(group.clone()),
            (None, _) => change.activate_all(),
        }
    }

    /// Whether the change that makes this site that of `config` can be made, without making it.
    pub(crate) fn check(&self, config: &config::Upstream) -> Result<(), ChangeError> {
        let active = self.upstream.snapshot().active_group().cloned();
        let stays = config.active_group == self.config.active_group;
        match active {
            Some(group)
                if stays
                    && !config
                        .endpoints
                        .iter()
                        .any(|e| e.group.as_ref() == Some(&group)) =>
            {
                Err(ChangeError::UnknownGroup { group })
            }
            _ => Ok(()),
        }
    }
}

fn initial_health(config: &config::Upstream) -> Health {
    match config.health.as_ref().map(|health| health.start) {
        Some(config::Start::Unhealthy) => Health::Unhealthy,
        Some(config::Start::Healthy) | None => Health::Healthy,
    }
}

/// Ends all ejections.
fn restore_all(upstream: &Upstream) -> Result<(), ChangeError> {
    let snapshot = upstream.snapshot();
    let members = snapshot.members().iter();
    let ejected =
        members.filter(|member| member.record().status().ejection.value() != Ejection::In);
    let change = ejected.fold(Change::new(), |change, member| {
        change.restore(member.id().clone(), "outliers are not detected any more")
    });
    upstream.apply(change).map(drop)
}

// === impl Describe ===

impl<B> tightrope::balance::Describe<Request<B>> for Describe {
    fn describe<'r>(&self, request: &'r Request<B>) -> Context<'r> {
        let mut context = Context::new().with_attempt(attempt(request));
        let client: Option<IpAddr> = request.extensions().get().and_then(Client::address);
        if let Some(client) = client {
            context = context.with_client(client);
        }
        let key = self
            .header
            .as_ref()
            .and_then(|name| request.headers().get(name));
        match key {
            Some(key) => context.with_key(key.as_bytes()),
            None => context,
        }
    }
}

/// A request as it comes from a client.
pub(crate) type ClientRequest = Request<Spliced<RequestBody>>;
