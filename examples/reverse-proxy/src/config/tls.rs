//! What a listener shows its clients to be who it says it is.

use std::{fmt::Display, path::PathBuf, sync::Arc};

use serde::Deserialize;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};

use super::ConfigError;

/// A certificate, and for whom it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    /// A PEM file of it and of those that it rests on.
    certificate: PathBuf,
    /// A PEM file of its key.
    key: PathBuf,
    /// The names, `example.org` or `*.example.org`, that clients ask for it by. The first certificate is
    /// also for those who ask for nobody, or for a name that none has.
    #[serde(default)]
    names: Vec<String>,
}

/// Chooses by the name that a client asks for.
#[derive(Debug)]
struct ByName {
    first: Arc<CertifiedKey>,
    named: Vec<(String, Arc<CertifiedKey>)>,
}

/// Reads the files of `certificates`; none where there are none.
///
/// Versions and ciphers are those that rustls thinks safe. HTTP/2 is spoken with whoever offers it.
pub(crate) fn acceptor(certificates: &[Certificate]) -> Result<Option<TlsAcceptor>, ConfigError> {
    let provider = Arc::new(ring::default_provider());
    let (mut first, mut named) = (None, Vec::new());
    for certificate in certificates {
        let key = Arc::new(certificate.read(&provider)?);
        first.get_or_insert_with(|| Arc::clone(&key));
        let names = certificate.names.iter();
        named.extend(names.map(|name| (name.to_ascii_lowercase(), Arc::clone(&key))));
    }
    let Some(first) = first else {
        return Ok(None);
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError(format!("tls: {error}")))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName { first, named }));
    // As one that is not named is refused, also the version that no browser speaks any more.
    config.alpn_protocols = ["h2", "http/1.1", "http/1.0"].map(Into::into).into();
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

// === impl Certificate ===

impl Certificate {
    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, ConfigError> {
        let wrong = |field: &str, path: &PathBuf, error: &dyn Display| {
            ConfigError(format!("tls.{field}: {}: {error}", path.display()))
        };
        let in_certificate = |error: &dyn Display| wrong("certificate", &self.certificate, error);
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| in_certificate(&error))?;
        if chain.is_empty() {
            return Err(in_certificate(&"there is no certificate in it"));
        }
        let in_key = |error: &dyn Display| wrong("key", &self.key, error);
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| in_key(&error))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| in_key(&error))
    }
}

// === impl ByName ===

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        let named = asked.and_then(|asked| {
            let of = |wanted: &str| self.named.iter().find(|(name, _)| name == wanted);
            // RFC 6125 §6.4.3: a wildcard is for one label.
            let wildcard = asked.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            of(&asked).or_else(|| of(&wildcard?))
        });
        let key = named.map_or(&self.first, |(_, key)| key);
        Some(Arc::clone(key))
    }
}
