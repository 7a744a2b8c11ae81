//! The configuration: one TOML file, checked as a whole before anything of it is used.

use std::{
    collections::HashSet,
    fmt, fs,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tightrope::forwarded::{Cidr, ViaLayer};

mod connections;
mod health;
mod http2;
mod outlier;
mod retry;
mod route;
mod strategy;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod upstream;
mod upstream_tls;

use self::text::parsed;
pub(crate) use self::{
    connections::Connections,
    health::{Health, Start},
    http2::Http2,
    outlier::Outlier,
    retry::Retry,
    route::{Action, Rewriting, Route},
    strategy::Strategy,
    tls::{Certificate, acceptor},
    upstream::{Endpoint, HostHeader, ProxyVersion, Upstream},
    upstream_tls::{TlsFiles, UpstreamTls},
};
use crate::cli::{Cli, Scheme};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where requests are accepted.
    #[serde(rename = "listener")]
    pub(crate) listeners: Vec<Listener>,
    pub(crate) admin: Option<Admin>,
    pub(crate) access_log: AccessLog,
    pub(crate) error_log: ErrorLog,
    pub(crate) forwarded: Forwarded,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) http2: Http2,
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
    /// Peers that must say by the PROXY protocol who their client is; default nobody may.
    #[serde(default, deserialize_with = "text::list")]
    pub(crate) proxy_protocol: Vec<Cidr>,
    /// What is shown to clients by TLS; default: it is not spoken.
    #[serde(default)]
    pub(crate) tls: Vec<Certificate>,
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

/// Where what goes wrong is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum ErrorLog {
    #[default]
    Stderr,
    File(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Forwarded {
    /// Peers whose X-Forwarded-* headers are believed; default nobody.
    #[serde(deserialize_with = "text::list")]
    pub(crate) trusted: Vec<Cidr>,
    /// Instead: believe everybody, and take the entry with this number from the right for the client.
    pub(crate) hops: Option<usize>,
    pub(crate) mode: ForwardedMode,
    pub(crate) lines: ForwardedLines,
    /// What is written besides X-Forwarded-For.
    pub(crate) write: Vec<ForwardedHeader>,
    /// Our name in Via; default none, and no Via.
    pub(crate) via: Option<String>,
}

/// How the peer is appended to X-Forwarded-For.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForwardedLines {
    #[default]
    Join,
    Another,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ForwardedHeader {
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    XRealIp,
    XEnvoyExternalAddress,
    Forwarded,
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
    /// Until the PROXY header of a connection is complete, where one must come.
    #[serde(with = "humantime_serde")]
    pub(crate) proxy_protocol: Duration,
    /// Until TLS is spoken on a connection, where it is.
    #[serde(with = "humantime_serde")]
    pub(crate) tls_handshake: Duration,
    /// Until the head of a request is complete.
    #[serde(with = "humantime_serde")]
    pub(crate) request_head: Duration,
    /// Between two pieces of a request body.
    #[serde(with = "humantime_serde")]
    pub(crate) request_body: Duration,
    /// How long a client may take nothing of what is sent to it.
    #[serde(with = "humantime_serde")]
    pub(crate) write: Duration,
    /// How long a connection to an endpoint is kept idle.
    #[serde(with = "humantime_serde")]
    pub(crate) pool_idle: Duration,
    /// How long an open connection may still bring a last request when its listener closes.
    #[serde(with = "humantime_serde")]
    pub(crate) last_request: Duration,
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
    /// The fewest bytes a second of a request body, where a client is waited for.
    pub(crate) request_rate: Option<NonZeroU32>,
    /// Of a response body, where an endpoint is.
    pub(crate) response_rate: Option<NonZeroU32>,
    /// What becomes of header fields with an underscore in their name.
    pub(crate) underscores: Underscores,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Underscores {
    #[default]
    Drop,
    Refuse,
    Pass,
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
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text[..start].matches('\n').count() + 1;
            let key = key(text, start).map_or(String::new(), |key| format!("{key}: "));
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            ConfigError(format!("{line}: {key}{message}"))
        })?;
        config
            .check()
            .map_err(|error| ConfigError(format!(" {error}")))?;
        Ok(config)
    }

    /// What the flags say.
    pub(crate) fn from_flags(cli: &Cli) -> Result<Self, ConfigError> {
        let endpoints = cli.upstreams.iter().map(|argument| Endpoint {
            weight: argument.spec.weight,
            group: argument.spec.group.clone(),
            ..Endpoint::at(argument.spec.address.clone())
        });
        let by = |scheme| {
            let mut all = cli.upstreams.iter();
            all.find(|argument| argument.scheme == scheme)
        };
        let (https, http) = (by(Scheme::Https), by(Scheme::Http));
        if let (Some(https), Some(http)) = (https, http) {
            return Err(ConfigError(format!(
                "--upstream: `{}` is reached by https and `{}` by http; all are by one of them",
                https.spec.address, http.spec.address
            )));
        }
        let config = Self {
            listeners: vec![Listener {
                address: cli
                    .listen
                    .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
                upstream: Some("default".to_owned()),
                proxy_protocol: Vec::new(),
                tls: Vec::new(),
            }],
            admin: cli.admin.map(|address| Admin {
                address,
                token: None,
            }),
            upstreams: vec![Upstream {
                name: "default".to_owned(),
                strategy: cli.strategy.unwrap_or_default(),
                endpoints: endpoints.collect(),
                tls: https.map(|_| UpstreamTls::default()),
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
            if let Some(name) = &route.upstream
                && !names.contains(name.as_str())
            {
                return fail(format!("route {number}: there is no upstream `{name}`"));
            }
            route
                .check()
                .map_err(|error| ConfigError(format!("route {number}: {error}")))?;
        }
        if let Some(admin) = &self.admin {
            admin.check()?;
        }
        self.forwarded.check()?;
        self.timeouts.check()?;
        self.limits.check()?;
        self.http2.check()
    }
}

/// The key on whose line something is wrong with the value at `start`.
fn key(text: &str, start: usize) -> Option<&str> {
    let line = text[..start].rsplit('\n').next()?;
    Some(line.split_once('=')?.0.trim())
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

impl Forwarded {
    fn check(&self) -> Result<(), ConfigError> {
        let fail = |message: &str| Err(ConfigError(format!("forwarded.{message}")));
        match self.hops {
            Some(0) => return fail("hops is 0"),
            Some(_) if !self.trusted.is_empty() => return fail("hops: there is trusted already"),
            _ => {}
        }
        if self.lines == ForwardedLines::Another && self.mode == ForwardedMode::Replace {
            return fail("lines: it needs `mode = \"append\"`");
        }
        let mut written = self.write.iter().enumerate();
        if written.any(|(number, header)| self.write[..number].contains(header)) {
            return fail("write: a header is there twice");
        }
        if let Some(Err(error)) = self.via.as_deref().map(ViaLayer::new) {
            return fail(&format!("via: {error}"));
        }
        Ok(())
    }
}

impl Timeouts {
    fn check(&self) -> Result<(), ConfigError> {
        let all = [
            ("connect", self.connect),
            ("response_head", self.response_head),
            ("response_body", self.response_body),
            ("proxy_protocol", self.proxy_protocol),
            ("tls_handshake", self.tls_handshake),
            ("request_head", self.request_head),
            ("request_body", self.request_body),
            ("write", self.write),
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
        if self.headers == 0 {
            return Err(ConfigError("limits.headers is 0".to_owned()));
        }
        Ok(())
    }
}

// === impl Default ===

impl Default for Forwarded {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            hops: None,
            mode: ForwardedMode::default(),
            lines: ForwardedLines::default(),
            write: vec![
                ForwardedHeader::XForwardedProto,
                ForwardedHeader::XForwardedHost,
                ForwardedHeader::XForwardedPort,
                ForwardedHeader::XRealIp,
            ],
            via: None,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            response_head: Duration::from_secs(60),
            response_body: Duration::from_secs(60),
            proxy_protocol: Duration::from_secs(5),
            tls_handshake: Duration::from_secs(10),
            request_head: Duration::from_secs(30),
            request_body: Duration::from_secs(60),
            write: Duration::from_secs(60),
            pool_idle: Duration::from_secs(60),
            last_request: Duration::from_secs(1),
            shutdown: Duration::from_secs(30),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            headers: 100,
            request_rate: None,
            response_rate: None,
            underscores: Underscores::default(),
        }
    }
}

impl From<Underscores> for tightrope::proxy::Underscores {
    fn from(underscores: Underscores) -> Self {
        match underscores {
            Underscores::Drop => Self::Drop,
            Underscores::Refuse => Self::Refuse,
            Underscores::Pass => Self::Pass,
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

impl From<String> for ErrorLog {
    fn from(text: String) -> Self {
        match text.as_str() {
            "stderr" => Self::Stderr,
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
