//! What the proxy knows, as the admin shows it.

use std::{collections::BTreeMap, num::NonZeroU32};

use serde::Serialize;
use tightrope::{
    health::outlier::{Detector, OutlierTask},
    retry::Budget,
    upstream::{Availability, Endpoint, Reason, Totals, Verdict},
};

use crate::{proxy::Proxy, site::Site};

/// Everything.
#[derive(Debug, Serialize)]
pub(crate) struct State {
    /// Of the workers.
    tasks: usize,
    upstreams: Vec<UpstreamState>,
}

#[derive(Debug, Serialize)]
pub(crate) struct UpstreamState {
    name: String,
    generation: u64,
    active_group: Option<String>,
    /// Those that count for the limit; none without one.
    in_flight: Option<usize>,
    max_in_flight: Option<NonZeroU32>,
    /// In the queue.
    waiting: usize,
    /// How many the budget has now.
    retries_available: u64,
    /// By detector; none where outliers are not detected.
    outliers: Option<BTreeMap<String, OutlierState>>,
    endpoints: Vec<EndpointState>,
}

/// What a detector found since it was started.
#[derive(Debug, Serialize)]
struct OutlierState {
    ejected: u64,
    /// Would have been, if it were enforced.
    spared_by_chance: u64,
    /// Would have been, if fewer were out.
    spared_by_cap: u64,
}

#[derive(Debug, Serialize)]
struct EndpointState {
    id: String,
    address: String,
    weight: u32,
    /// The share of its weight that it has by now.
    weight_percent: u8,
    priority: u8,
    group: Option<String>,
    availability: String,
    in_flight: usize,
    max_in_flight: Option<NonZeroU32>,
    succeeded: u64,
    failed: u64,
    cancelled: u64,
    connections: ConnectionsState,
    admin: VerdictState,
    health: VerdictState,
    ejection: VerdictState,
}

/// Those of all workers, or of one.
#[derive(Debug, Default, Serialize)]
struct ConnectionsState {
    open: usize,
    idle: usize,
    /// How many of them speak HTTP/2, and carry so many requests.
    http2: usize,
    streams: usize,
    /// Requests that wait for one.
    waiting: usize,
    /// Since they are kept.
    made: u64,
    reused: u64,
}

#[derive(Debug, Serialize)]
struct VerdictState {
    is: String,
    because: String,
    for_seconds: f64,
}

// === impl State ===

impl State {
    pub(crate) fn of(proxy: &Proxy) -> Self {
        let sites = proxy.sites();
        let sites = sites.values();
        Self {
            tasks: proxy.tasks(),
            upstreams: sites.map(|site| UpstreamState::of(site)).collect(),
        }
    }
}

impl UpstreamState {
    pub(crate) fn of(site: &Site) -> Self {
        let snapshot = site.upstream.snapshot();
        let members = snapshot.members().iter().zip(snapshot.availability());
        Self {
            name: site.upstream.name().to_owned(),
            generation: snapshot.generation(),
            active_group: snapshot.active_group().map(ToString::to_string),
            in_flight: snapshot.max_in_flight().map(|_| site.upstream.in_flight()),
            max_in_flight: snapshot.max_in_flight(),
            waiting: site.stacks[0].get_ref().waiting(),
            retries_available: site.stacks[0].budget().map_or(0, Budget::available),
            outliers: site.outlier.as_ref().map(OutlierState::all),
            endpoints: members
                .enumerate()
                .map(|(index, (endpoint, &availability))| {
                    let weight_percent = snapshot.ramp_percent(index);
                    let connections = ConnectionsState::of(site, endpoint);
                    EndpointState::of(endpoint, availability, weight_percent, connections)
                })
                .collect(),
        }
    }
}

impl OutlierState {
    fn all(task: &OutlierTask) -> BTreeMap<String, Self> {
        let of = |detector: Detector| {
            let verdicts = task.counts().of(detector);
            let state = Self {
                ejected: verdicts.ejected,
                spared_by_chance: verdicts.spared_by_chance,
                spared_by_cap: verdicts.spared_by_cap,
            };
            (detector.to_string(), state)
        };
        Detector::ALL.map(of).into()
    }
}

impl EndpointState {
    fn of(
        endpoint: &Endpoint,
        availability: Availability,
        weight_percent: u8,
        connections: ConnectionsState,
    ) -> Self {
        let (record, status) = (endpoint.record(), endpoint.record().status());
        let Totals {
            succeeded,
            failed,
            cancelled,
            ..
        } = record.totals();
        Self {
            id: endpoint.id().to_string(),
            address: endpoint.address().to_string(),
            weight: endpoint.weight().get(),
            weight_percent,
            priority: endpoint.spec().priority,
            group: endpoint.group().map(ToString::to_string),
            availability: availability.to_string(),
            in_flight: record.in_flight(),
            max_in_flight: endpoint.spec().max_in_flight,
            succeeded,
            failed,
            cancelled,
            connections,
            admin: VerdictState::of(&status.admin),
            health: VerdictState::of(&status.health),
            ejection: VerdictState::of(&status.ejection),
        }
    }
}

impl ConnectionsState {
    fn of(site: &Site, endpoint: &Endpoint) -> Self {
        let each = site.forwards().map(|forward| forward.connections(endpoint));
        each.fold(Self::default(), |all, one| Self {
            open: all.open + one.open,
            idle: all.idle + one.idle,
            http2: all.http2 + one.http2,
            streams: all.streams + one.streams,
            waiting: all.waiting + one.waiting,
            made: all.made + one.made,
            reused: all.reused + one.reused,
        })
    }
}

impl VerdictState {
    fn of<T: Copy + PartialEq + std::fmt::Debug>(verdict: &Verdict<T>) -> Self {
        Self {
            is: format!("{:?}", verdict.value()).to_lowercase(),
            because: Reason::to_string(verdict.reason()),
            for_seconds: verdict.age().as_secs_f64(),
        }
    }
}
