//! The configuration: one TOML file, checked as a whole before anything of it is used.

use std::{
    collections::HashSet,
    fmt, fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use serde::Deserialize;
use tightrope::{
    forwarded::Cidr,
    upstream::{Address, EndpointId, EndpointSpec, Group, Weight},
};

mod health;
mod outlier;
#[cfg(test)]
mod tests;
mod text;

use self::text::parsed;
pub(crate) use self::{
    health::{Health, Start},
    outlier::Outlier,
};
use crate::cli::Cli;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where requests are accepted.
    #[serde(rename = "listener")]
    pub(crate) listeners: Vec<Listener>,
    pub(crate) admin: Option<Admin>,
    pub(crate) access_log: AccessLog,
    pub(crate) forwarded: Forwarded,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    #[serde(rename = "route")]
    pub(crate) routes: Vec<Route>,
    #[serde(rename = "upstream")]
    pub(crate) upstreams: Vec<Upstream>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    #[serde(deserialize_with = "parsed")]
    pub(crate) address: SocketAddr,
    /// The upstream that gets all its requests; default: the routes decide.
    pub(crate) upstream: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    #[serde(deserialize_with = "parsed")]
    pub(crate) address: SocketAddr,
    /// What `Authorization: Bearer` must carry; needed where the address is not on loopback.
    pub(crate) token: Option<String>,
}

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum AccessLog {
    Off,
    #[default]
    Stdout,
    File(PathBuf),
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Forwarded {
    /// Peers whose X-Forwarded-* headers are believed; default nobody.
    #[serde(deserialize_with = "text::list")]
    pub(crate) trusted: Vec<Cidr>,
    pub(crate) mode: ForwardedMode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForwardedMode {
    #[default]
    Append,
    Replace,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    #[serde(with = "humantime_serde")]
    pub(crate) connect: Duration,
    /// Until the head of a response.
    #[serde(with = "humantime_serde")]
    pub(crate) response_head: Duration,
    /// Between two pieces of a response body.
    #[serde(with = "humantime_serde")]
    pub(crate) response_body: Duration,
    /// Until the head of a request is complete.
    #[serde(with = "humantime_serde")]
    pub(crate) request_head: Duration,
    /// Between two pieces of a request body.
    #[serde(with = "humantime_serde")]
    pub(crate) request_body: Duration,
    /// How long a connection to an endpoint is kept idle.
    #[serde(with = "humantime_serde")]
    pub(crate) pool_idle: Duration,
    /// How long requests may take to end when the proxy stops.
    #[serde(with = "humantime_serde")]
    pub(crate) shutdown: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Bytes of a request head; at least 8192.
    pub(crate) head_bytes: usize,
    /// Header lines of a request.
    pub(crate) headers: usize,
    /// Attempts for one request, the first included.
    pub(crate) attempts: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// `example.org`, `*.example.org`; default: any.
    pub(crate) host: Option<String>,
    /// A prefix of the path, on a segment boundary; default `/`.
    pub(crate) path: Option<String>,
    pub(crate) upstream: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    #[serde(default, deserialize_with = "parsed")]
    pub(crate) strategy: Strategy,
    /// Whether the sick are tried when nobody is available.
    #[serde(default)]
    pub(crate) fail_open: bool,
    /// The header whose value is the key of the strategies that hash one.
    pub(crate) hash_header: Option<String>,
    /// The group that gets all traffic; default: all endpoints.
    #[serde(default, deserialize_with = "text::optional")]
    pub(crate) active_group: Option<Group>,
    #[serde(default, rename = "endpoint")]
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) health: Option<Health>,
    pub(crate) outlier: Option<Outlier>,
    #[serde(default)]
    pub(crate) rollout: Rollout,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strategy {
    #[default]
    RoundRobin,
    WeightedRandom,
    LeastRequest,
    LeastRequestFullScan,
    PeakEwma,
    FirstAvailable,
    Maglev,
    RingHash,
    Rendezvous,
    Jump,
    NginxIpHash,
    NginxHash,
    NginxHashConsistent,
    NginxLeastConn,
    NginxRandom,
    NginxRandomTwo,
    EnvoyLeastRequest,
    EnvoyMaglev,
    EnvoyRingHash,
    HaproxySource,
    HaproxyHash,
}

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

/// Why a configuration was refused: one line that names the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError(pub(crate) String);

// === impl Config ===

impl Config {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let place = path.display();
        let text =
            fs::read_to_string(path).map_err(|error| ConfigError(format!("{place}: {error}")))?;
        Self::parse(&text).map_err(|error| ConfigError(format!("{place}:{error}")))
    }

    /// Parses and checks a text. The error begins with the line, where one is to blame.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            ConfigError(format!("{line}: {message}"))
        })?;
        config
            .check()
            .map_err(|error| ConfigError(format!(" {error}")))?;
        Ok(config)
    }

    /// What the flags say.
    pub(crate) fn from_flags(cli: &Cli) -> Result<Self, ConfigError> {
        let endpoints = cli.upstreams.iter().map(|argument| Endpoint {
            address: argument.0.address.clone(),
            id: None,
            weight: argument.0.weight,
            group: argument.0.group.clone(),
        });
        let config = Self {
            listeners: vec![Listener {
                address: cli
                    .listen
                    .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
                upstream: Some("default".to_owned()),
            }],
            admin: cli.admin.map(|address| Admin {
                address,
                token: None,
            }),
            upstreams: vec![Upstream {
                name: "default".to_owned(),
                strategy: cli.strategy.unwrap_or_default(),
                endpoints: endpoints.collect(),
                ..Upstream::default()
            }],
            ..Self::default()
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let fail = |message: String| Err(ConfigError(message));
        if self.listeners.is_empty() {
            return fail("no [[listener]]: there is nowhere to accept requests".to_owned());
        }
        let mut names = HashSet::new();
        for upstream in &self.upstreams {
            if !names.insert(upstream.name.as_str()) {
                return fail(format!("upstream `{}` is there twice", upstream.name));
            }
            upstream.check()?;
        }
        let mut addresses = HashSet::new();
        for listener in &self.listeners {
            let address = listener.address;
            if !addresses.insert(address) {
                return fail(format!("listener `{address}` is there twice"));
            }
            match &listener.upstream {
                Some(name) if !names.contains(name.as_str()) => {
                    return fail(format!(
                        "listener `{address}`: there is no upstream `{name}`"
                    ));
                }
                None if self.routes.is_empty() => {
                    return fail(format!(
                        "listener `{address}`: neither an upstream nor any [[route]]"
                    ));
                }
                _ => {}
            }
        }
        for (number, route) in (1..).zip(&self.routes) {
            if !names.contains(route.upstream.as_str()) {
                let name = &route.upstream;
                return fail(format!("route {number}: there is no upstream `{name}`"));
            }
        }
        if let Some(admin) = &self.admin {
            admin.check()?;
        }
        self.timeouts.check()?;
        self.limits.check()
    }
}

impl Admin {
    fn check(&self) -> Result<(), ConfigError> {
        let local = match self.address.ip() {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip.is_loopback(),
        };
        if !local && self.token.as_ref().is_none_or(String::is_empty) {
            return Err(ConfigError(format!(
                "admin: address `{}` is not on loopback; that needs a token",
                self.address
            )));
        }
        Ok(())
    }
}

impl Upstream {
    /// Its endpoints, as the upstream takes them.
    pub(crate) fn specs(&self) -> Vec<EndpointSpec> {
        self.endpoints.iter().map(Endpoint::spec).collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = &self.name;
        let fail = |message: String| Err(ConfigError(format!("upstream `{name}`: {message}")));
        if name.is_empty() {
            return fail("the name is empty".to_owned());
        }
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

impl Endpoint {
    pub(crate) fn spec(&self) -> EndpointSpec {
        let mut spec = EndpointSpec::new(self.address.clone()).with_weight(self.weight);
        if let Some(id) = &self.id {
            spec = spec.with_id(id.clone());
        }
        if let Some(group) = &self.group {
            spec = spec.with_group(group.clone());
        }
        spec
    }
}

impl Timeouts {
    fn check(&self) -> Result<(), ConfigError> {
        let all = [
            ("connect", self.connect),
            ("response_head", self.response_head),
            ("response_body", self.response_body),
            ("request_head", self.request_head),
            ("request_body", self.request_body),
            ("pool_idle", self.pool_idle),
        ];
        match all.iter().find(|(_, value)| value.is_zero()) {
            Some((name, _)) => Err(ConfigError(format!("timeouts.{name} is 0"))),
            None => Ok(()),
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), ConfigError> {
        if !(8192..=1 << 20).contains(&self.head_bytes) {
            let bytes = self.head_bytes;
            return Err(ConfigError(format!(
                "limits.head_bytes: {bytes} is not between 8192 and 1048576"
            )));
        }
        if self.headers == 0 || self.attempts == 0 {
            return Err(ConfigError(
                "limits: headers and attempts must be at least 1".to_owned(),
            ));
        }
        Ok(())
    }
}

impl Strategy {
    const NAMES: [(&'static str, Self); 21] = [
        ("round_robin", Self::RoundRobin),
        ("weighted_random", Self::WeightedRandom),
        ("least_request", Self::LeastRequest),
        ("least_request_full_scan", Self::LeastRequestFullScan),
        ("peak_ewma", Self::PeakEwma),
        ("first_available", Self::FirstAvailable),
        ("maglev", Self::Maglev),
        ("ring_hash", Self::RingHash),
        ("rendezvous", Self::Rendezvous),
        ("jump", Self::Jump),
        ("nginx_ip_hash", Self::NginxIpHash),
        ("nginx_hash", Self::NginxHash),
        ("nginx_hash_consistent", Self::NginxHashConsistent),
        ("nginx_least_conn", Self::NginxLeastConn),
        ("nginx_random", Self::NginxRandom),
        ("nginx_random_two", Self::NginxRandomTwo),
        ("envoy_least_request", Self::EnvoyLeastRequest),
        ("envoy_maglev", Self::EnvoyMaglev),
        ("envoy_ring_hash", Self::EnvoyRingHash),
        ("haproxy_source", Self::HaproxySource),
        ("haproxy_hash", Self::HaproxyHash),
    ];
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|&(_, strategy)| strategy).ok_or_else(|| {
            let known: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("`{name}` is not one of {}", known.join(", "))
        })
    }
}

// === impl Default ===

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            response_head: Duration::from_secs(60),
            response_body: Duration::from_secs(60),
            request_head: Duration::from_secs(30),
            request_body: Duration::from_secs(60),
            pool_idle: Duration::from_secs(60),
            shutdown: Duration::from_secs(30),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            headers: 100,
            attempts: 3,
        }
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            tries: 1,
            interval: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

impl From<String> for AccessLog {
    fn from(text: String) -> Self {
        match text.as_str() {
            "off" => Self::Off,
            "stdout" => Self::Stdout,
            _ => Self::File(text.into()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}
