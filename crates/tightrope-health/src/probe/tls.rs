//! TLS beneath a probe.

use std::{error::Error, fmt, io, sync::Arc};

use tightrope_upstream::Address;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, crypto,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use super::connect::Stream;
use crate::ProbeError;

/// How probes speak TLS: whom they trust, and by what name they call the other side.
///
/// The name is what the certificate must be for and what is sent as SNI, so that a server of many names
/// shows the right one. By default it is the host of the address that is connected to; where that is an
/// IP address, the certificate must be for it, and no SNI is sent (RFC 6066 §3). A certificate that
/// cannot be verified fails the probe, as does one that has expired.
///
/// ```no_run
/// use tightrope_health::{HttpProbe, Tls};
///
/// let tls = Tls::from_pem(&std::fs::read("/etc/ssl/internal.pem")?)?.with_server_name("api.internal")?;
/// let probe = HttpProbe::get("/health")?.with_tls(tls);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// Why a setting of [`Tls`] was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The system has no certificates of authorities, or they cannot be read.
    #[error("the system has no certificates to trust")]
    SystemRoots(#[source] Option<Box<dyn Error + Send + Sync>>),
    /// They are not certificates in PEM, or cannot be trusted in.
    #[error("certificates cannot be read")]
    Certificates(#[source] Box<dyn Error + Send + Sync>),
    /// Nobody would be trusted.
    #[error("there are no certificates in PEM")]
    NoCertificates,
    /// No certificate could be for it.
    #[error("server name `{name}` is neither a host name nor an IP address")]
    ServerName {
        /// The name as it was given.
        name: String,
    },
}

// === impl Tls ===

impl Tls {
    /// As `config` says, of rustls 0.23: for certificates of the probe's own, other ways to verify, or
    /// another provider of cryptography. Its protocols for ALPN are replaced by what the probe speaks.
    pub const fn new(config: Arc<ClientConfig>) -> Self {
        Self {
            config,
            server_name: None,
        }
    }

    /// Trusts whom the system trusts. Reads files: not for the path of requests.
    ///
    /// # Errors
    /// The system trusts nobody, or its certificates cannot be read.
    pub fn from_system_roots() -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _ignored) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let error = found.errors.into_iter().next();
            return Err(TlsError::SystemRoots(error.map(Into::into)));
        }
        Self::trusting(roots)
    }

    /// Trusts these authorities, certificates in PEM, and nobody else.
    ///
    /// # Errors
    /// There is none, or one that is not a certificate.
    pub fn from_pem(certificates: &[u8]) -> Result<Self, TlsError> {
        let unreadable = |error: Box<dyn Error + Send + Sync>| TlsError::Certificates(error);
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(certificates) {
            let certificate = certificate.map_err(|error| unreadable(error.into()))?;
            let added = roots.add(certificate);
            added.map_err(|error| unreadable(error.into()))?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificates);
        }
        Self::trusting(roots)
    }

    fn trusting(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Certificates(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::new(Arc::new(config)))
    }

    /// Calls the other side by this name, or takes it for this IP address.
    ///
    /// # Errors
    /// It is neither a host name nor an IP address.
    pub fn with_server_name(mut self, name: &str) -> Result<Self, TlsError> {
        let parsed = ServerName::try_from(name.to_owned());
        self.server_name = Some(parsed.map_err(|_| TlsError::ServerName {
            name: name.to_owned(),
        })?);
        Ok(self)
    }

    /// Offers this protocol and no other.
    #[cfg(any(feature = "http", feature = "grpc"))]
    pub(super) fn offering(mut self, protocol: &[u8]) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![protocol.to_vec()];
        self
    }

    /// Speaks TLS on `stream`, a connection to `address`.
    pub(super) async fn handshake(
        &self,
        address: &Address,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, ProbeError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => name(address).map_err(ProbeError::exchange)?,
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(name, stream).await;
        Ok(Box::new(stream.map_err(ProbeError::exchange)?))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// What the certificate of `address` must be for by default.
fn name(address: &Address) -> io::Result<ServerName<'static>> {
    let unnamed = || {
        let words = format!("`{address}` is no name that a certificate could be for");
        io::Error::new(io::ErrorKind::InvalidInput, words)
    };
    match address {
        Address::Socket(socket) => Ok(socket.ip().into()),
        Address::Host { name, .. } => ServerName::try_from(name.to_string()).map_err(|_| unnamed()),
        _ => Err(unnamed()),
    }
}
