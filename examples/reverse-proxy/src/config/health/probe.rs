//! The question that the settings say.

use std::{fmt::Display, fs, sync::Arc};

use http::{HeaderName, HeaderValue, header::HOST};
use tightrope::health::{
    ExpectedBody, ExpectedBytes, GrpcProbe, HttpProbe, Pattern, Probe, TcpProbe, Tls, probe::Place,
};

use super::Health;
use crate::config::ConfigError;

impl Health {
    /// The probe that asks it.
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
}

/// An error in the setting `name`.
fn wrong<E: Display>(name: &'static str) -> impl Fn(E) -> ConfigError {
    move |error| ConfigError(format!("{name}: {error}"))
}
