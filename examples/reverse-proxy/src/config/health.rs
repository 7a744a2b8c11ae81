//! How endpoints are asked whether they are well.

use std::{
    collections::BTreeMap, fmt::Display, fs, num::NonZeroU16, ops::RangeInclusive, path::PathBuf,
    str::FromStr, sync::Arc, time::Duration,
};

use http::{HeaderName, HeaderValue, Method, header::HOST};
use serde::Deserialize;
use tightrope::{
    health::{
        ExpectedBody, ExpectedBytes, GrpcProbe, HealthCheck, HealthCheckError, HttpProbe, Pattern,
        Probe, TcpProbe, Tls, probe::Place,
    },
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
        let (http, grpc) = (self.path.is_some(), self.grpc_service.is_some());
        let needs = [
            ("method", self.method != default.method, http, "a path"),
            (
                "statuses",
                self.statuses != default.statuses,
                http,
                "a path",
            ),
            ("body", self.body.is_some(), http, "a path"),
            ("body_matches", self.body_matches.is_some(), http, "a path"),
            (
                "body_limit",
                self.body_limit != default.body_limit,
                http,
                "a path",
            ),
            (
                "host",
                self.host.is_some(),
                http || grpc,
                "a path or a grpc_service",
            ),
            (
                "headers",
                !self.headers.is_empty(),
                http || grpc,
                "a path or a grpc_service",
            ),
            ("server_name", self.server_name.is_some(), self.tls, "tls"),
            ("tls_roots", self.tls_roots.is_some(), self.tls, "tls"),
        ];
        for (name, is_set, makes_sense, needed) in needs {
            if is_set && !makes_sense {
                return Err(ConfigError(format!("{name}: it needs {needed}")));
            }
        }
        let either = [
            ("grpc_service", grpc, "path", http),
            ("send", self.send.is_some(), "path", http),
            ("send", self.send.is_some(), "grpc_service", grpc),
            ("expect", self.expect.is_some(), "path", http),
            ("expect", self.expect.is_some(), "grpc_service", grpc),
            (
                "expect_contains",
                self.expect_contains.is_some(),
                "path",
                http,
            ),
            (
                "expect_contains",
                self.expect_contains.is_some(),
                "grpc_service",
                grpc,
            ),
            (
                "expect_contains",
                self.expect_contains.is_some(),
                "expect",
                self.expect.is_some(),
            ),
            (
                "body_matches",
                self.body_matches.is_some(),
                "body",
                self.body.is_some(),
            ),
            (
                "address",
                self.address.is_some(),
                "port",
                self.port.is_some(),
            ),
        ];
        for (name, is_set, other, other_is_set) in either {
            if is_set && other_is_set {
                return Err(ConfigError(format!("{name}: there is a {other} already")));
            }
        }
        Ok(())
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

    /// The question that this says.
    pub(crate) fn probe(&self) -> Result<Arc<dyn Probe>, ConfigError> {
        match (&self.path, &self.grpc_service) {
            (Some(path), _) => Ok(Arc::new(self.http(path)?)),
            (None, Some(service)) => Ok(Arc::new(self.grpc(service)?)),
            (None, None) => Ok(Arc::new(self.tcp()?)),
        }
    }

    fn http(&self, path: &str) -> Result<HttpProbe, ConfigError> {
        let mut probe = HttpProbe::get(path)
            .map_err(wrong("path"))?
            .with_place(self.place())
            .with_body_limit(self.body_limit);
        // Methods tell capital letters from others, and servers know those of the first kind.
        if self.method.as_str().bytes().any(|b| b.is_ascii_lowercase()) {
            let method = &self.method;
            return Err(wrong("method")(format!(
                "`{method}` is not in capital letters"
            )));
        }
        let ranges = self.statuses.iter().map(|statuses| statuses.0.clone());
        probe = probe.with_statuses(ranges).map_err(wrong("statuses"))?;
        if let Some(part) = &self.body {
            let body = ExpectedBody::Contains(part.clone());
            probe = probe.with_body(body).map_err(wrong("body"))?;
        }
        if let Some(pattern) = &self.body_matches {
            let pattern = Pattern::new(pattern).map_err(wrong("body_matches"))?;
            let body = ExpectedBody::Matches(pattern);
            probe = probe.with_body(body).map_err(wrong("body_matches"))?;
        }
        probe = probe
            .with_method(self.method.clone())
            .map_err(wrong("method"))?;
        if let Some(host) = &self.host {
            let value = HeaderValue::from_str(host).map_err(wrong("host"))?;
            probe = probe.with_header(HOST, value).map_err(wrong("host"))?;
        }
        for header in self.headers() {
            let (name, value) = header?;
            probe = probe.with_header(name, value).map_err(wrong("headers"))?;
        }
        Ok(match self.tls()? {
            Some(tls) => probe.with_tls(tls),
            None => probe,
        })
    }

    fn grpc(&self, service: &str) -> Result<GrpcProbe, ConfigError> {
        let mut probe = GrpcProbe::new()
            .with_service(service)
            .with_place(self.place());
        if let Some(host) = &self.host {
            probe = probe.with_authority(host).map_err(wrong("host"))?;
        }
        for header in self.headers() {
            let (name, value) = header?;
            probe = probe.with_header(name, value).map_err(wrong("headers"))?;
        }
        Ok(match self.tls()? {
            Some(tls) => probe.with_tls(tls),
            None => probe,
        })
    }

    fn tcp(&self) -> Result<TcpProbe, ConfigError> {
        let mut probe = TcpProbe::new().with_place(self.place());
        if let Some(text) = &self.send {
            probe = probe.with_send(text.as_bytes());
        }
        if let Some(text) = &self.expect {
            let bytes = ExpectedBytes::StartsWith(text.clone().into_bytes());
            probe = probe.with_expect(bytes).map_err(wrong("expect"))?;
        }
        if let Some(text) = &self.expect_contains {
            let bytes = ExpectedBytes::Contains(text.clone().into_bytes());
            probe = probe.with_expect(bytes).map_err(wrong("expect_contains"))?;
        }
        Ok(match self.tls()? {
            Some(tls) => probe.with_tls(tls),
            None => probe,
        })
    }

    fn place(&self) -> Place {
        match (&self.address, self.port) {
            (Some(address), _) => Place::Address(address.clone()),
            (None, Some(port)) => Place::Port(port),
            (None, None) => Place::Traffic,
        }
    }

    fn headers(&self) -> impl Iterator<Item = Result<(HeaderName, HeaderValue), ConfigError>> {
        self.headers.iter().map(|(name, value)| {
            let field = wrong("headers");
            let parsed = name.parse().map_err(|_| format!("`{name}` is not a name"));
            let parsed = parsed.and_then(|parsed| {
                let value = HeaderValue::from_str(value);
                let value = value.map_err(|_| format!("the value of `{name}` is not one line"));
                Ok((parsed, value?))
            });
            parsed.map_err(field)
        })
    }

    fn tls(&self) -> Result<Option<Tls>, ConfigError> {
        if !self.tls {
            return Ok(None);
        }
        let tls = match &self.tls_roots {
            Some(path) => {
                let place = path.display();
                let named = |error: &dyn Display| wrong("tls_roots")(format!("{place}: {error}"));
                let pem = fs::read(path).map_err(|error| named(&error))?;
                Tls::from_pem(&pem).map_err(|error| named(&error))?
            }
            None => Tls::from_system_roots().map_err(wrong("tls"))?,
        };
        match &self.server_name {
            Some(name) => tls.with_server_name(name).map(Some),
            None => Ok(Some(tls)),
        }
        .map_err(wrong("server_name"))
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

/// An error in the setting `name`.
fn wrong<E: Display>(name: &'static str) -> impl Fn(E) -> ConfigError {
    move |error| ConfigError(format!("{name}: {error}"))
}
