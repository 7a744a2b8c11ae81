//! How endpoints are asked whether they are well.

mod probe;

use std::{
    collections::BTreeMap, num::NonZeroU16, ops::RangeInclusive, path::PathBuf, str::FromStr,
    sync::Arc, time::Duration,
};

use http::Method;
use serde::Deserialize;
use tightrope::{
    health::{HealthCheck, HealthCheckError, Probe},
    upstream::{Address, Upstream},
};

use super::{
    ConfigError,
    text::{self, parsed},
};

/// Asks over HTTP if there is a path, by the health protocol of gRPC if there is a service, and else
/// over TCP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Health {
    /// The path that is asked for.
    path: Option<String>,
    #[serde(deserialize_with = "parsed")]
    method: Method,
    #[serde(deserialize_with = "text::list")]
    statuses: Vec<Statuses>,
    /// What the answer must contain.
    body: Option<String>,
    /// The regular expression that must match something in it.
    body_matches: Option<String>,
    /// The most bytes of it that are read.
    body_limit: usize,
    /// The service that is asked for; empty: the server as a whole.
    grpc_service: Option<String>,
    /// The Host, or the authority of gRPC; default: the address that is asked.
    host: Option<String>,
    headers: BTreeMap<String, String>,
    /// What is sent over TCP.
    send: Option<String>,
    /// What the answer must start with.
    expect: Option<String>,
    /// What it must contain.
    expect_contains: Option<String>,
    /// The port that is asked, if not the endpoint's.
    port: Option<NonZeroU16>,
    /// The address that is asked, whichever the endpoint.
    #[serde(deserialize_with = "text::optional")]
    address: Option<Address>,
    tls: bool,
    /// What the certificate must be for; default: the host of the address that is asked.
    server_name: Option<String>,
    /// A file of the certificates that are trusted; default: those that the system trusts.
    tls_roots: Option<PathBuf>,
    #[serde(with = "humantime_serde")]
    interval: Duration,
    /// While an endpoint is unhealthy; default, as of the next two: the interval.
    #[serde(with = "humantime_serde")]
    unhealthy_interval: Option<Duration>,
    /// While the newest results are against the verdict.
    #[serde(with = "humantime_serde")]
    changing_interval: Option<Duration>,
    /// While it is healthy and gets no requests.
    #[serde(with = "humantime_serde")]
    idle_interval: Option<Duration>,
    /// How long the first probes of endpoints take that come together.
    #[serde(with = "humantime_serde")]
    start_spread: Duration,
    /// At a time; 0: as many as there are endpoints.
    max_in_flight: usize,
    #[serde(with = "humantime_serde")]
    pub(crate) timeout: Duration,
    rise: u32,
    fall: u32,
    /// What an endpoint is until its first probe.
    pub(crate) start: Start,
    /// Whether a probe that passes ends an ejection.
    restores: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Start {
    #[default]
    Healthy,
    Unhealthy,
}

/// `200`, or `200-299`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Statuses(RangeInclusive<u16>);

// === impl Health ===

impl Health {
    /// Asks for `path` over HTTP, and expects `body` in the answer.
    pub(crate) fn of(path: &str, body: &str) -> Self {
        Self {
            path: Some(path.to_owned()),
            body: Some(body.to_owned()),
            ..Self::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_kind()?;
        self.check_numbers()?;
        self.probe().map(drop)
    }

    /// Whether the settings are those of one kind of probe.
    fn check_kind(&self) -> Result<(), ConfigError> {
        let default = Self::default();
        let path = ("path", self.path.is_some());
        let grpc_service = ("grpc_service", self.grpc_service.is_some());
        let port = ("port", self.port.is_some());
        let address = ("address", self.address.is_some());
        let body = ("body", self.body.is_some());
        let body_matches = ("body_matches", self.body_matches.is_some());
        let expect = ("expect", self.expect.is_some());
        let expect_contains = ("expect_contains", self.expect_contains.is_some());
        let of_http = [
            ("method", self.method != default.method),
            ("statuses", self.statuses != default.statuses),
            body,
            body_matches,
            ("body_limit", self.body_limit != default.body_limit),
        ];
        let of_both = [
            ("host", self.host.is_some()),
            ("headers", !self.headers.is_empty()),
        ];
        let of_tcp = [("send", self.send.is_some()), expect, expect_contains];
        let of_tls = [
            ("server_name", self.server_name.is_some()),
            ("tls_roots", self.tls_roots.is_some()),
        ];
        let either = ("path or grpc_service", path.1 || grpc_service.1);
        only_with(path, &of_http)?;
        only_with(either, &of_both)?;
        only_with(("`tls = true`", self.tls), &of_tls)?;
        not_beside(path, &of_tcp)?;
        not_beside(grpc_service, &of_tcp)?;
        not_beside(path, &[grpc_service])?;
        not_beside(body, &[body_matches])?;
        not_beside(expect, &[expect_contains])?;
        not_beside(port, &[address])
    }

    fn check_numbers(&self) -> Result<(), ConfigError> {
        let times = [
            ("interval", Some(self.interval)),
            ("unhealthy_interval", self.unhealthy_interval),
            ("changing_interval", self.changing_interval),
            ("idle_interval", self.idle_interval),
            ("timeout", Some(self.timeout)),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| *time == Some(Duration::ZERO)) {
            return Err(ConfigError(format!("{name} is 0")));
        }
        let counts = [("rise", self.rise), ("fall", self.fall)];
        match counts.iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(ConfigError(format!("{name} is 0"))),
            None => Ok(()),
        }
    }

    /// The check of the members of `upstream` that asks `probe`.
    pub(crate) fn watch(
        &self,
        upstream: &Upstream,
        probe: Arc<dyn Probe>,
    ) -> Result<HealthCheck, HealthCheckError> {
        let mut check = HealthCheck::new(upstream, probe)
            .with_interval(self.interval)?
            .with_start_spread(self.start_spread)
            .with_timeout(self.timeout)?
            .with_rise(self.rise)?
            .with_fall(self.fall)?
            .with_restore(self.restores);
        if let Some(interval) = self.unhealthy_interval {
            check = check.with_unhealthy_interval(interval)?;
        }
        if let Some(interval) = self.changing_interval {
            check = check.with_changing_interval(interval)?;
        }
        if let Some(interval) = self.idle_interval {
            check = check.with_idle_interval(interval)?;
        }
        if self.max_in_flight > 0 {
            check = check.with_max_in_flight(self.max_in_flight)?;
        }
        Ok(check)
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: None,
            method: Method::GET,
            statuses: vec![Statuses(200..=299)],
            body: None,
            body_matches: None,
            body_limit: 64 * 1024,
            grpc_service: None,
            host: None,
            headers: BTreeMap::new(),
            send: None,
            expect: None,
            expect_contains: None,
            port: None,
            address: None,
            tls: false,
            server_name: None,
            tls_roots: None,
            interval: Duration::from_secs(2),
            unhealthy_interval: None,
            changing_interval: None,
            idle_interval: None,
            start_spread: Duration::ZERO,
            max_in_flight: 0,
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            start: Start::default(),
            restores: true,
        }
    }
}

// === impl Statuses ===

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) => Ok(Self(first..=last)),
            _ => Err(format!("`{text}` is not a status; expected 204 or 200-299")),
        }
    }
}

/// A setting, and whether it is there.
type Setting = (&'static str, bool);

/// Refuses what is there of `settings` and means nothing without `needed`.
fn only_with(needed: Setting, settings: &[Setting]) -> Result<(), ConfigError> {
    match (needed, settings.iter().find(|(_, is_there)| *is_there)) {
        ((needed, false), Some((name, _))) => {
            Err(ConfigError(format!("{name}: it needs {needed}")))
        }
        _ => Ok(()),
    }
}

/// Refuses what is there of `settings` and cannot be beside `other`.
fn not_beside(other: Setting, settings: &[Setting]) -> Result<(), ConfigError> {
    match (other, settings.iter().find(|(_, is_there)| *is_there)) {
        ((other, true), Some((name, _))) => {
            Err(ConfigError(format!("{name}: there is a {other} already")))
        }
        _ => Ok(()),
    }
}
