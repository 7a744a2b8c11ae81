//! How TLS is spoken with the endpoints of an upstream.

use std::{
    error::Error,
    fmt, fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tightrope::{
    proxy::{ClientTls, ClientTlsError},
    upstream::Address,
};

use super::{ConfigError, Endpoint};

/// The settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UpstreamTls {
    /// What certificates must be for, and SNI says; default: the host of each endpoint's address.
    server_name: Option<String>,
    /// A PEM file of the authorities that are trusted; default: those that the system trusts.
    roots: Option<PathBuf>,
    /// A PEM file of what is shown to endpoints, and of what it rests on; default: nothing is.
    certificate: Option<PathBuf>,
    /// A PEM file of its key.
    key: Option<PathBuf>,
    verify: Verify,
}

/// Whether endpoints must be who they say they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verify {
    #[default]
    Full,
    NoneForTestsOnly,
}

/// The settings and what their files say: where both are the same, so are the connections.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct TlsFiles {
    settings: UpstreamTls,
    roots: Option<Vec<u8>>,
    /// The certificate and its key.
    shown: Option<(Vec<u8>, Vec<u8>)>,
}

// === impl UpstreamTls ===

impl UpstreamTls {
    /// Reads the files.
    pub(crate) fn read(&self) -> Result<TlsFiles, ConfigError> {
        let roots = self.roots.as_ref().map(|path| read("roots", path));
        let shown = self.certificate.as_ref().zip(self.key.as_ref());
        let shown = shown.map(|(certificate, key)| {
            Ok::<_, ConfigError>((read("certificate", certificate)?, read("key", key)?))
        });
        Ok(TlsFiles {
            roots: roots.transpose()?,
            shown: shown.transpose()?,
            settings: self.clone(),
        })
    }

    /// What makes no sense, together or with these endpoints.
    pub(super) fn check(&self, endpoints: &[Endpoint]) -> Result<(), ConfigError> {
        let fail = |message: &str| Err(ConfigError(format!("tls.{message}")));
        match (&self.certificate, &self.key) {
            (Some(_), None) => return fail("certificate: it needs key"),
            (None, Some(_)) => return fail("key: it needs certificate"),
            _ => {}
        }
        if self.roots.is_some() && self.verify != Verify::Full {
            return fail("roots: it needs `verify = \"full\"`");
        }
        let nameless = endpoints
            .iter()
            .find(|endpoint| matches!(endpoint.address, Address::Unix(_)));
        match nameless {
            Some(endpoint) if self.server_name.is_none() => fail(&format!(
                "server_name: endpoint `{}` needs one, as a socket has no name",
                endpoint.address
            )),
            _ => Ok(()),
        }
    }
}

fn read(field: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(path).map_err(|error| ConfigError(format!("tls.{field}: {}: {error}", path.display())))
}

// === impl TlsFiles ===

impl TlsFiles {
    /// What `Forward` takes.
    pub(crate) fn client(&self) -> Result<ClientTls, ConfigError> {
        let tls = match (self.settings.verify, &self.roots) {
            (Verify::NoneForTestsOnly, _) => Ok(ClientTls::danger_without_verification()),
            (Verify::Full, Some(pem)) => ClientTls::from_pem(pem),
            (Verify::Full, None) => ClientTls::from_system_roots(),
        };
        let mut tls = tls.map_err(|error| self.refused(&error))?;
        if let Some(name) = &self.settings.server_name {
            let named = tls.with_server_name(name);
            tls = named.map_err(|error| self.refused(&error))?;
        }
        if let Some((certificate, key)) = &self.shown {
            let shown = tls.with_client_certificate(certificate, key);
            tls = shown.map_err(|error| self.refused(&error))?;
        }
        Ok(tls)
    }

    /// Names the setting and its file, and all causes.
    fn refused(&self, error: &ClientTlsError) -> ConfigError {
        let settings = &self.settings;
        let (field, path) = match error {
            ClientTlsError::ServerName { .. } => ("server_name", None),
            ClientTlsError::Certificate(_) | ClientTlsError::NoCertificate => {
                ("certificate", settings.certificate.as_ref())
            }
            ClientTlsError::Key(_) => ("key", settings.key.as_ref()),
            _ => ("roots", settings.roots.as_ref()),
        };
        let mut words = format!("tls.{field}: ");
        if let Some(path) = path {
            words = format!("{words}{}: ", path.display());
        }
        words = format!("{words}{error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            words = format!("{words}: {error}");
            cause = error.source();
        }
        ConfigError(words)
    }
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFiles")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
