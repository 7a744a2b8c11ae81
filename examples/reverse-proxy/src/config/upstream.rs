//! One upstream: its endpoints, and how requests are spread over them.

use std::{
    collections::HashSet,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de};
use tightrope::{
    balance::{self, Balance},
    proxy::{HostError, HostPolicy},
    upstream::{Address, EndpointId, EndpointSpec, Group, Ramp, RampError, Weight},
};

use super::{
    ConfigError, Connections, Health, Outlier, Retry, Strategy, UpstreamTls,
    text::{self, parsed},
};

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    #[serde(default, deserialize_with = "parsed")]
    pub(crate) strategy: Strategy,
    /// Whether the sick are tried when nobody is available.
    #[serde(default)]
    pub(crate) fail_open: bool,
    /// Below this share of available endpoints, in percent, the sick are tried too.
    #[serde(default)]
    pub(crate) panic_threshold: Percent,
    /// How much of its endpoints a priority may lose, in percent, before the next gets any traffic.
    #[serde(default = "default_over_provisioning")]
    pub(crate) over_provisioning: u32,
    /// The zone of the proxy; default: zones do not matter.
    pub(crate) zone: Option<String>,
    /// The share of all callers that is in it, in percent; default: as many as in the others.
    pub(crate) zone_callers: Option<Percent>,
    /// The header whose value is the key of the strategies that hash one.
    pub(crate) hash_header: Option<String>,
    /// The `Host` that endpoints see.
    #[serde(default)]
    pub(crate) host_header: HostHeader,
    /// How TLS is spoken with endpoints; default: it is not.
    pub(crate) tls: Option<UpstreamTls>,
    #[serde(default)]
    pub(crate) connections: Connections,
    /// The group that gets all traffic; default: all endpoints.
    #[serde(default, deserialize_with = "text::optional")]
    pub(crate) active_group: Option<Group>,
    #[serde(default, rename = "endpoint")]
    pub(crate) endpoints: Vec<Endpoint>,
    /// Requests at a time, on all endpoints together.
    pub(crate) max_in_flight: Option<NonZeroU32>,
    /// What becomes of a request whose endpoint has as many as it may have.
    #[serde(default)]
    pub(crate) when_full: WhenFull,
    /// Whether endpoints are told of the client by the PROXY protocol; default: by header fields alone.
    pub(crate) send_proxy_protocol: Option<ProxyVersion>,
    /// Where requests wait while all are full; default: they are refused.
    pub(crate) queue: Option<Queue>,
    pub(crate) slow_start: Option<SlowStart>,
    pub(crate) health: Option<Health>,
    pub(crate) outlier: Option<Outlier>,
    #[serde(default)]
    pub(crate) retry: Retry,
    #[serde(default)]
    pub(crate) rollout: Rollout,
}

/// The `Host` that endpoints see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HostHeader {
    /// The client's.
    #[default]
    Client,
    /// The address of the endpoint.
    Endpoint,
    Fixed(String),
}

/// What becomes of a request whose endpoint has as many as it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenFull {
    #[default]
    MoveOn,
    Stay,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProxyVersion {
    V1,
    V2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queue {
    max_waiting: NonZeroUsize,
    #[serde(with = "humantime_serde")]
    timeout: Duration,
}

/// How the share of an endpoint grows that comes, or comes back.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlowStart {
    #[serde(with = "humantime_serde")]
    window: Duration,
    #[serde(default = "one")]
    aggression: f64,
    /// In percent.
    #[serde(default = "ten")]
    floor: u8,
}

/// From 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Percent(pub(super) u32);

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    #[serde(deserialize_with = "parsed")]
    pub(crate) address: Address,
    #[serde(default, deserialize_with = "text::optional")]
    pub(crate) id: Option<EndpointId>,
    #[serde(default, deserialize_with = "text::weight")]
    pub(crate) weight: Weight,
    #[serde(default, deserialize_with = "text::optional")]
    pub(crate) group: Option<Group>,
    /// 0 goes first; the others stand in.
    #[serde(default)]
    pub(crate) priority: u8,
    /// Requests at a time.
    pub(crate) max_in_flight: Option<NonZeroU32>,
    pub(crate) zone: Option<String>,
}

/// How the admin's `switch` goes about it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rollout {
    /// How often the idle group is asked whether it is healthy.
    pub(crate) tries: u32,
    #[serde(with = "humantime_serde")]
    pub(crate) interval: Duration,
    /// How long the old group may take to end what it has.
    #[serde(with = "humantime_serde")]
    pub(crate) drain: Duration,
}

// === impl Upstream ===

impl Upstream {
    /// Its endpoints, as the upstream takes them.
    pub(crate) fn specs(&self) -> Vec<EndpointSpec> {
        self.endpoints.iter().map(Endpoint::spec).collect()
    }

    /// `balance`, with what this says of full endpoints.
    pub(crate) fn limited<S, C>(&self, balance: Balance<S, C>) -> Balance<S, C> {
        let balance = balance.with_when_full(match self.when_full {
            WhenFull::MoveOn => balance::WhenFull::MoveOn,
            WhenFull::Stay => balance::WhenFull::Stay,
        });
        match self.queue {
            Some(queue) => {
                balance.with_queue(balance::Queue::new(queue.max_waiting, queue.timeout))
            }
            None => balance,
        }
    }

    /// How endpoints start that come.
    pub(crate) fn ramp(&self) -> Result<Option<Ramp>, RampError> {
        self.slow_start.as_ref().map(SlowStart::ramp).transpose()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let name = &self.name;
        let fail = |message: String| Err(ConfigError(format!("upstream `{name}`: {message}")));
        if name.is_empty() {
            return fail("the name is empty".to_owned());
        }
        if let Err(error) = self.host_header.policy() {
            return fail(format!("host_header: {error}"));
        }
        if let Some(tls) = &self.tls {
            tls.check(&self.endpoints)
                .map_err(|error| ConfigError(format!("upstream `{name}`: {error}")))?;
        }
        self.connections
            .check(self.tls.is_some())
            .map_err(|error| ConfigError(format!("upstream `{name}`: {error}")))?;
        let mut ids = HashSet::new();
        for spec in self.specs() {
            if !ids.insert(spec.id.clone()) {
                return fail(format!("endpoint `{}` is there twice", spec.id));
            }
        }
        if let Some(group) = &self.active_group {
            let known = self
                .endpoints
                .iter()
                .any(|e| e.group.as_ref() == Some(group));
            if !known {
                return fail(format!("active_group: no endpoint is in group `{group}`"));
            }
        }
        match (&self.hash_header, self.strategy) {
            (None, Strategy::NginxHash) => {
                return fail("strategy `nginx_hash` needs a hash_header".to_owned());
            }
            (Some(header), _) if http::HeaderName::from_bytes(header.as_bytes()).is_err() => {
                return fail(format!("hash_header: `{header}` is not a header name"));
            }
            _ => {}
        }
        if self.over_provisioning != 0 && self.over_provisioning < 100 {
            let percent = self.over_provisioning;
            return fail(format!(
                "over_provisioning: {percent} is neither 0 nor at least 100"
            ));
        }
        if let Some(slow_start) = &self.slow_start {
            let ramp = slow_start.ramp();
            ramp.map_err(|error| ConfigError(format!("upstream `{name}`: slow_start: {error}")))?;
        }
        let retry = self.retry.layer().map(drop);
        retry.map_err(|error| ConfigError(format!("upstream `{name}`: {error}")))?;
        if self.rollout.tries == 0 {
            return fail("rollout.tries is 0".to_owned());
        }
        if let Some(health) = &self.health {
            health
                .check()
                .map_err(|error| ConfigError(format!("upstream `{name}`: health.{error}")))?;
        }
        if let Some(outlier) = &self.outlier {
            let detection = outlier.detection(&tightrope::upstream::Upstream::new(name));
            detection
                .map(drop)
                .map_err(|error| ConfigError(format!("upstream `{name}`: outlier: {error}")))?;
        }
        Ok(())
    }
}

const fn default_over_provisioning() -> u32 {
    140
}

// === impl SlowStart ===

impl SlowStart {
    fn ramp(&self) -> Result<Ramp, RampError> {
        Ramp::new(self.window)?
            .with_aggression(self.aggression)?
            .with_floor(self.floor)
    }
}

const fn one() -> f64 {
    1.0
}

const fn ten() -> u8 {
    10
}

// === impl Percent ===

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = i64::deserialize(deserializer)?;
        let whole = u32::try_from(percent)
            .ok()
            .filter(|&percent| percent <= 100);
        whole
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("`{percent}` is not between 0 and 100")))
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// As one of which a file says no more.
    pub(crate) fn at(address: Address) -> Self {
        Self {
            address,
            id: None,
            weight: Weight::default(),
            group: None,
            priority: 0,
            max_in_flight: None,
            zone: None,
        }
    }

    pub(crate) fn spec(&self) -> EndpointSpec {
        let mut spec = EndpointSpec::new(self.address.clone())
            .with_weight(self.weight)
            .with_priority(self.priority);
        if let Some(id) = &self.id {
            spec = spec.with_id(id.clone());
        }
        if let Some(group) = &self.group {
            spec = spec.with_group(group.clone());
        }
        if let Some(most) = self.max_in_flight {
            spec = spec.with_max_in_flight(most);
        }
        if let Some(zone) = &self.zone {
            spec = spec.with_metadata([("zone", zone.as_str())].into_iter().collect());
        }
        spec
    }
}

// === impl Rollout ===

impl Default for Rollout {
    fn default() -> Self {
        Self {
            tries: 1,
            interval: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

// === impl HostHeader ===

impl HostHeader {
    pub(crate) fn policy(&self) -> Result<HostPolicy, HostError> {
        match self {
            Self::Client => Ok(HostPolicy::Keep),
            Self::Endpoint => Ok(HostPolicy::Endpoint),
            Self::Fixed(host) => HostPolicy::fixed(host),
        }
    }
}
