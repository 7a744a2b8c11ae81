//! A route: which requests it is for, where they go, and what is changed on the way.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, time::Duration};

use http::StatusCode;
use serde::{Deserialize, Deserializer, de::Error};
use tightrope::proxy::{
    PathPrefix,
    rewrite::{
        HeaderRuleError, HeaderRules, HeadersLayer, HttpsLayer, PrefixLayer, RedirectStatus,
    },
};

use super::ConfigError;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Route {
    /// `example.org`, `*.example.org`; default: any.
    pub(crate) host: Option<String>,
    /// A prefix of the path, on a segment boundary; default `/`.
    pub(crate) path: Option<String>,
    /// Whether `path` is the whole path.
    pub(crate) exact: bool,
    /// Where the requests go; this, `answer` or `root`.
    pub(crate) upstream: Option<String>,
    /// The status that all of them are answered with.
    pub(crate) answer: Option<u16>,
    /// The folder whose files they are answered with.
    pub(crate) root: Option<PathBuf>,
    /// The status that sends http requests to https; default: they pass.
    pub(crate) redirect_to_https: Option<u16>,
    /// How long a client that came by https is to come by nothing else; default: not said.
    #[serde(with = "humantime_serde")]
    pub(crate) hsts: Option<Duration>,
    pub(crate) strip_prefix: Option<String>,
    pub(crate) add_prefix: Option<String>,
    /// How large the body of a request may be; default: any.
    pub(crate) max_body: Option<Size>,
    pub(crate) request_headers: Headers,
    pub(crate) response_headers: Headers,
}

/// What is done to header fields, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Headers {
    remove: Vec<String>,
    rename: BTreeMap<String, String>,
    set: BTreeMap<String, String>,
    append: BTreeMap<String, String>,
}

/// Bytes, written as a number or as `512KiB`, `10MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// What is changed on the way.
#[derive(Clone, Debug)]
pub(crate) struct Rewriting {
    pub(crate) https: HttpsLayer,
    pub(crate) headers: HeadersLayer,
    pub(crate) prefix: PrefixLayer,
}

/// Where requests go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action<'a> {
    Upstream(&'a str),
    Answer(StatusCode),
    Root(&'a PathBuf),
}

// === impl Route ===

impl Route {
    /// Checks what does not depend on other parts of the configuration.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.exact && self.path.is_none() {
            return Err(ConfigError("exact: it needs path".to_owned()));
        }
        if let Action::Root(root) = self.action()?
            && !root.is_dir()
        {
            let root = root.display();
            return Err(ConfigError(format!("root: `{root}` is not a folder")));
        }
        self.rewriting().map(drop)
    }

    pub(crate) fn action(&self) -> Result<Action<'_>, ConfigError> {
        match (&self.upstream, self.answer, &self.root) {
            (Some(upstream), None, None) => Ok(Action::Upstream(upstream)),
            (None, Some(status), None) => match StatusCode::from_u16(status) {
                // What is less than 200 is no last word.
                Ok(code) if status >= 200 => Ok(Action::Answer(code)),
                _ => Err(ConfigError(format!(
                    "answer: {status} is not between 200 and 999"
                ))),
            },
            (None, None, Some(root)) => Ok(Action::Root(root)),
            (None, None, None) => Err(ConfigError(
                "there is no upstream, answer or root".to_owned(),
            )),
            _ => Err(ConfigError(
                "there is more than one of upstream, answer and root".to_owned(),
            )),
        }
    }

    /// `None` where nothing is changed.
    pub(crate) fn rewriting(&self) -> Result<Option<Rewriting>, ConfigError> {
        let mut https = HttpsLayer::new();
        if let Some(status) = self.redirect_to_https {
            let status = RedirectStatus::try_from(status);
            https = https.with_redirect(status.map_err(|error| at("redirect_to_https", error))?);
        }
        if let Some(hsts) = self.hsts {
            https = https.with_hsts(hsts);
        }
        let request = self.request_headers.rules("request_headers")?;
        if request.name_endpoint() {
            return Err(ConfigError(
                "request_headers: `{endpoint}` is not chosen yet".to_owned(),
            ));
        }
        let response = self.response_headers.rules("response_headers")?;
        let prefix = |name, value: &Option<String>| match value {
            Some(value) => value.parse().map_err(|error| at(name, error)),
            None => Ok(PathPrefix::ROOT),
        };
        let strip = prefix("strip_prefix", &self.strip_prefix)?;
        let add = prefix("add_prefix", &self.add_prefix)?;
        let changes = Self {
            redirect_to_https: self.redirect_to_https,
            hsts: self.hsts,
            strip_prefix: self.strip_prefix.clone(),
            add_prefix: self.add_prefix.clone(),
            request_headers: self.request_headers.clone(),
            response_headers: self.response_headers.clone(),
            ..Self::default()
        };
        Ok((changes != Self::default()).then(|| Rewriting {
            https,
            headers: HeadersLayer::new()
                .with_request(request)
                .with_response(response),
            prefix: PrefixLayer::new().with_stripped(strip).with_added(add),
        }))
    }
}

fn at(field: &str, error: impl fmt::Display) -> ConfigError {
    ConfigError(format!("{field}: {error}"))
}

// === impl Headers ===

impl Headers {
    fn rules(&self, field: &str) -> Result<HeaderRules, ConfigError> {
        let mut rules = HeaderRules::new();
        let refused = |action: &str, error: HeaderRuleError| {
            let cause = std::error::Error::source(&error);
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            ConfigError(format!("{field}.{action}: {error}{cause}"))
        };
        for name in &self.remove {
            rules = rules.remove(name).map_err(|e| refused("remove", e))?;
        }
        for (name, new) in &self.rename {
            rules = rules.rename(name, new).map_err(|e| refused("rename", e))?;
        }
        for (name, value) in &self.set {
            rules = rules.set(name, value).map_err(|e| refused("set", e))?;
        }
        for (name, value) in &self.append {
            rules = rules
                .append(name, value)
                .map_err(|e| refused("append", e))?;
        }
        Ok(rules)
    }
}

// === impl Size ===

impl FromStr for Size {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match text[digits.len()..].trim() {
            "" => Some(0),
            "KiB" => Some(10),
            "MiB" => Some(20),
            "GiB" => Some(30),
            _ => None,
        };
        let bytes = shift
            .zip(digits.parse::<u64>().ok())
            .and_then(|(shift, number)| number.checked_mul(1 << shift));
        bytes.map(Self).ok_or_else(|| {
            ConfigError(format!(
                "`{text}` is not a size: bytes, or with KiB, MiB or GiB"
            ))
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Bytes(bytes)) => Ok(Self(bytes)),
            Ok(Written::Text(text)) => text.parse().map_err(D::Error::custom),
            Err(_) => Err(D::Error::custom("expected a size, as 1048576 or \"1MiB\"")),
        }
    }
}
