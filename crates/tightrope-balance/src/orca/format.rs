//! How reports are written in headers.

use std::collections::{BTreeMap, HashMap};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use serde::Deserialize;

use super::LoadReport;

const TEXT: HeaderName = HeaderName::from_static("endpoint-load-metrics");
const BINARY: HeaderName = HeaderName::from_static("endpoint-load-metrics-bin");

/// Servers leave the padding out, as gRPC does, or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a report cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The value of `endpoint-load-metrics` starts with something else than `TEXT `, `JSON ` or
    /// `BIN `, or with bytes that no text has.
    #[error("a report in no known format: {value:?}")]
    UnknownFormat {
        /// The header's value.
        value: String,
    },
    /// There is no such metric, or it is there twice, or its value is no finite number.
    #[error("the metric {name:?} of a report cannot be {value:?}")]
    Metric {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
    /// The value is not what it says it is.
    #[error("a report cannot be decoded: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

/// `xds.data.orca.v3.OrcaLoadReport`.
#[derive(Clone, PartialEq, Message)]
struct Binary {
    #[prost(double, tag = "1")]
    cpu_utilization: f64,
    #[prost(double, tag = "2")]
    mem_utilization: f64,
    #[prost(uint64, tag = "3")]
    rps: u64,
    #[prost(map = "string, double", tag = "4")]
    request_cost: HashMap<String, f64>,
    #[prost(map = "string, double", tag = "5")]
    utilization: HashMap<String, f64>,
    #[prost(double, tag = "6")]
    rps_fractional: f64,
    #[prost(double, tag = "7")]
    eps: f64,
    #[prost(map = "string, double", tag = "8")]
    named_metrics: HashMap<String, f64>,
    #[prost(double, tag = "9")]
    application_utilization: f64,
}

/// The same in protobuf's JSON.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Json {
    #[serde(alias = "cpuUtilization")]
    cpu_utilization: f64,
    #[serde(alias = "memUtilization")]
    mem_utilization: f64,
    #[serde(alias = "applicationUtilization")]
    application_utilization: f64,
    #[serde(alias = "rpsFractional")]
    rps_fractional: f64,
    eps: f64,
    #[serde(alias = "requestCost")]
    request_cost: BTreeMap<String, f64>,
    utilization: BTreeMap<String, f64>,
    #[serde(alias = "namedMetrics")]
    named_metrics: BTreeMap<String, f64>,
}

// === impl LoadReport ===

impl LoadReport {
    /// The report in the headers or trailers of a response, if there is one.
    ///
    /// `endpoint-load-metrics-bin` holds the message in base64; `endpoint-load-metrics` the same
    /// after `BIN `, its JSON after `JSON `, or `name=value` pairs after `TEXT `, separated by commas.
    /// The binary one is preferred, and of several lines the first.
    ///
    /// # Errors
    /// There is a report that cannot be read.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, ReportError> {
        if let Some(value) = headers.get(BINARY) {
            return Self::from_binary(value.as_bytes()).map(Some);
        }
        headers.get(TEXT).map(Self::from_value).transpose()
    }

    fn from_value(value: &HeaderValue) -> Result<Self, ReportError> {
        let unknown = || ReportError::UnknownFormat {
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        let text = value.to_str().map_err(|_| unknown())?;
        match text.split_once(' ') {
            Some(("TEXT", pairs)) => Self::from_text(pairs),
            Some(("JSON", json)) => serde_json::from_str::<Json>(json)
                .map(Self::from)
                .map_err(malformed),
            Some(("BIN", base64)) => Self::from_binary(base64.trim().as_bytes()),
            _ => Err(unknown()),
        }
        .and_then(Self::checked)
    }

    fn from_binary(base64: &[u8]) -> Result<Self, ReportError> {
        let bytes = BASE64.decode(base64).map_err(malformed)?;
        Binary::decode(&*bytes)
            .map(Self::from)
            .map_err(malformed)
            .and_then(Self::checked)
    }

    fn from_text(pairs: &str) -> Result<Self, ReportError> {
        let mut report = Self::new();
        for pair in pairs
            .split(',')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (name.trim(), value.trim());
            let set = value.parse().ok().and_then(|value| report.set(name, value));
            set.ok_or_else(|| metric(name, value))?;
        }
        Ok(report)
    }

    /// Sets what is not set; `None` if there is no such metric, or it was set.
    fn set(&mut self, name: &str, value: f64) -> Option<()> {
        let field = match name {
            "cpu_utilization" => &mut self.cpu_utilization,
            "mem_utilization" => &mut self.mem_utilization,
            "application_utilization" => &mut self.application_utilization,
            "rps_fractional" => &mut self.rps,
            "eps" => &mut self.eps,
            _ => {
                let (map, key) = name.split_once('.')?;
                let map = match map {
                    "request_cost" => &mut self.request_cost,
                    "utilization" => &mut self.utilization,
                    "named_metrics" => &mut self.named_metrics,
                    _ => return None,
                };
                return map.insert(key.to_owned(), value).is_none().then_some(());
            }
        };
        (*field == 0.0).then(|| *field = value)
    }

    /// All of it, if all are numbers that can be counted with.
    fn checked(self) -> Result<Self, ReportError> {
        let fields = [
            ("cpu_utilization", self.cpu_utilization),
            ("mem_utilization", self.mem_utilization),
            ("application_utilization", self.application_utilization),
            ("rps_fractional", self.rps),
            ("eps", self.eps),
        ];
        let maps = [&self.request_cost, &self.utilization, &self.named_metrics];
        let named = maps.into_iter().flatten();
        let odd = fields
            .into_iter()
            .chain(named.map(|(name, &value)| (name.as_str(), value)))
            .find(|(_, value)| !value.is_finite());
        match odd {
            Some((name, value)) => Err(metric(name, &value.to_string())),
            None => Ok(self),
        }
    }
}

impl From<Binary> for LoadReport {
    fn from(binary: Binary) -> Self {
        // The whole number is what reports had before there was a fraction.
        let rps = if binary.rps_fractional == 0.0 {
            binary.rps as f64
        } else {
            binary.rps_fractional
        };
        Self {
            cpu_utilization: binary.cpu_utilization,
            mem_utilization: binary.mem_utilization,
            application_utilization: binary.application_utilization,
            rps,
            eps: binary.eps,
            request_cost: binary.request_cost.into_iter().collect(),
            utilization: binary.utilization.into_iter().collect(),
            named_metrics: binary.named_metrics.into_iter().collect(),
        }
    }
}

impl From<Json> for LoadReport {
    fn from(json: Json) -> Self {
        Self {
            cpu_utilization: json.cpu_utilization,
            mem_utilization: json.mem_utilization,
            application_utilization: json.application_utilization,
            rps: json.rps_fractional,
            eps: json.eps,
            request_cost: json.request_cost,
            utilization: json.utilization,
            named_metrics: json.named_metrics,
        }
    }
}

fn metric(name: &str, value: &str) -> ReportError {
    ReportError::Metric {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn malformed(error: impl std::error::Error) -> ReportError {
    ReportError::Malformed {
        reason: error.to_string(),
    }
}
