//! Connections to the endpoints of an upstream.

use std::{num::NonZeroUsize, time::Duration};

use serde::Deserialize;
use tightrope::proxy::{ForwardConfig, Protocol};

use super::ConfigError;

/// The settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Connections {
    protocol: Http,
    /// At most to one endpoint; default: as many as are needed.
    max: Option<NonZeroUsize>,
    /// Kept idle for one endpoint.
    max_idle: usize,
    /// How old one may be that a request goes out on; default: of any age.
    #[serde(with = "humantime_serde")]
    max_age: Option<Duration>,
    /// Kept open to each endpoint that is available.
    pub(crate) warm: usize,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Http {
    #[default]
    Http1,
    Http2,
    Negotiated,
}

// === impl Connections ===

impl Connections {
    /// `config` with these settings, for one of so many workers, each of which has connections of its own.
    pub(crate) fn of(&self, config: ForwardConfig, workers: usize) -> ForwardConfig {
        let config = config
            .with_protocol(match self.protocol {
                Http::Http1 => Protocol::Http1,
                Http::Http2 => Protocol::Http2,
                Http::Negotiated => Protocol::Negotiated,
            })
            .with_max_idle_per_endpoint(self.max_idle.div_ceil(workers))
            .with_pool_max_age(self.max_age.unwrap_or(Duration::MAX));
        match self.max {
            Some(max) => config.with_max_connections_per_endpoint((max.get() / workers).max(1)),
            None => config,
        }
    }

    /// What makes no sense, also where TLS is spoken or not.
    pub(super) fn check(&self, is_tls: bool) -> Result<(), ConfigError> {
        let fail = |message: String| Err(ConfigError(format!("connections.{message}")));
        if self.protocol == Http::Negotiated && !is_tls {
            return fail(
                "protocol: `negotiated` needs upstream.tls, within which it is".to_owned(),
            );
        }
        if self.max_age.is_some_and(|age| age.is_zero()) {
            return fail("max_age is 0".to_owned());
        }
        if let Some(max) = self.max
            && self.warm > max.get()
        {
            let warm = self.warm;
            return fail(format!("warm: {warm} is more than the {max} of max"));
        }
        Ok(())
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            protocol: Http::default(),
            max: None,
            max_idle: 128,
            max_age: None,
            warm: 0,
        }
    }
}
