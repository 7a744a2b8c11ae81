//! What a client may ask of a connection of HTTP/2.

use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http2 {
    /// Requests at a time.
    pub(crate) streams: u32,
    /// Requests that it may give up, or get wrong; from then on at most half of all.
    pub(crate) resets: usize,
    /// How long it may have no request.
    #[serde(with = "humantime_serde")]
    pub(crate) idle: Duration,
    /// How often it is asked whether it is still there.
    #[serde(with = "humantime_serde")]
    pub(crate) ping_interval: Duration,
    /// How long it may take to answer that.
    #[serde(with = "humantime_serde")]
    pub(crate) ping_timeout: Duration,
}

impl Http2 {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let all = [
            ("streams", self.streams == 0),
            ("resets", self.resets == 0),
            ("idle", self.idle.is_zero()),
            ("ping_interval", self.ping_interval.is_zero()),
            ("ping_timeout", self.ping_timeout.is_zero()),
        ];
        match all.iter().find(|(_, is_zero)| *is_zero) {
            Some((name, _)) => Err(ConfigError(format!("http2.{name} is 0"))),
            None => Ok(()),
        }
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            streams: 100,
            resets: 100,
            idle: Duration::from_secs(60),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
        }
    }
}
