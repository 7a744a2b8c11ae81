//! How TLS is spoken with endpoints.

use std::{fmt, sync::Arc};

use tightrope_upstream::Address;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
        client::Resumption,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        sign::{CertifiedKey, SingleCertAndKey},
    },
};

use super::{ClientTlsError, HandshakeError, unverified::Unverified};
use crate::{Protocol, io::Io};

/// How TLS is spoken with endpoints: whom they must be vouched for by, by what name they are called, and
/// what certificate they are shown.
///
/// The name is what the certificate of an endpoint must be for and what is sent as SNI, so that a server
/// of many names shows the right one. By default it is the host of the endpoint's address. Where that is an
/// IP address, the certificate must be for it, and no SNI is sent (RFC 6066 §3). A Unix socket has no host:
/// without a [server name](Self::with_server_name) a request to it fails with
/// [`Failure::Local`](tightrope_upstream::Failure::Local) and comes back. The `Host` of requests is another
/// matter, of [`HostPolicy`](crate::HostPolicy): a server that compares the two answers 421 where they differ.
///
/// An endpoint whose certificate is refused, because nobody vouches for it, it is for another name or its time is
/// over, fails with [`Failure::Connect`](tightrope_upstream::Failure::Connect) before anything of the request is
/// sent; the source of the error says for which name, and why. Versions are TLS 1.2 and 1.3, with the ciphers that
/// rustls thinks safe; by ALPN what the [`Protocol`](crate::Protocol) says is offered and nothing else. Sessions are resumed, early data is not sent.
///
/// ```no_run
/// use tightrope_proxy::{ClientTls, ForwardConfig};
///
/// let tls = ClientTls::from_pem(&std::fs::read("/etc/ssl/internal.pem")?)?.with_server_name("api.internal")?;
/// let config = ForwardConfig::new().with_tls(tls);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it is given to a `ForwardConfig`"]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// A connection to an endpoint that TLS is spoken on.
pub(crate) type Stream = TlsStream<Io>;

/// As many bytes as one record of TLS has at most (RFC 8446 §5.1).
const RECORD: usize = 1 << 14;

// === impl ClientTls ===

impl ClientTls {
    /// Endpoints must be vouched for by whom the system trusts. Reads files: not for the path of requests.
    ///
    /// # Errors
    /// The system trusts nobody, or its certificates cannot be read.
    pub fn from_system_roots() -> Result<Self, ClientTlsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _ignored) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let error = found.errors.into_iter().next();
            return Err(ClientTlsError::SystemRoots(error.map(Into::into)));
        }
        Ok(Self::trusting(roots))
    }

    /// Endpoints must be vouched for by one of these authorities, certificates in PEM, and by nobody else. That
    /// of an endpoint itself will do as well.
    ///
    /// # Errors
    /// There is none, or one that is not a certificate.
    pub fn from_pem(certificates: &[u8]) -> Result<Self, ClientTlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(certificates) {
            let certificate = certificate.map_err(ClientTlsError::roots)?;
            roots.add(certificate).map_err(ClientTlsError::roots)?;
        }
        if roots.is_empty() {
            return Err(ClientTlsError::NoRoots);
        }
        Ok(Self::trusting(roots))
    }

    /// **Verifies nothing: for tests only.** Any certificate will do, of anybody, for any name, expired or not, so
    /// whoever is on the way can read and change everything. Every call says so as a warning in the log.
    ///
    /// Where an endpoint has a certificate that it signed itself, trust that one with [`from_pem`](Self::from_pem);
    /// where it is for another name, say [which](Self::with_server_name).
    pub fn danger_without_verification() -> Self {
        tracing::warn!(
            "TLS to endpoints without verification: whoever is on the way can read and change everything"
        );
        let verifier = Unverified::new(&ring::default_provider());
        let config = builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Self::new(config)
    }

    fn trusting(roots: RootCertStore) -> Self {
        let config = builder().with_root_certificates(roots);
        Self::new(config.with_no_client_auth())
    }

    fn new(config: ClientConfig) -> Self {
        Self {
            config: Arc::new(config),
            server_name: None,
        }
    }

    /// Calls all endpoints by this name, or takes them for this IP address. Default: the host of the address of
    /// each.
    ///
    /// # Errors
    /// It is neither a host name nor an IP address.
    pub fn with_server_name(mut self, name: &str) -> Result<Self, ClientTlsError> {
        let parsed = ServerName::try_from(name.to_owned());
        self.server_name = Some(parsed.map_err(|_| ClientTlsError::ServerName {
            name: name.to_owned(),
        })?);
        Ok(self)
    }

    /// Shows this to endpoints that ask who we are: a certificate in PEM, followed by those that it rests on, and
    /// its key in PEM (PKCS #8, PKCS #1 or SEC 1). Default: nothing is shown.
    ///
    /// An endpoint that wants another says so in the handshake with TLS 1.2. With TLS 1.3 it does after it, when the
    /// request is on its way: that ends with [`Failure::Reset`](tightrope_upstream::Failure::Reset), whose source
    /// is the alert, unless the endpoint cut the connection before it arrived.
    ///
    /// # Errors
    /// There is no certificate, one of the two cannot be read, or they do not belong together.
    pub fn with_client_certificate(
        mut self,
        chain: &[u8],
        key: &[u8],
    ) -> Result<Self, ClientTlsError> {
        let chain = CertificateDer::pem_slice_iter(chain);
        let chain = chain.collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(ClientTlsError::certificate)?;
        if chain.is_empty() {
            return Err(ClientTlsError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(ClientTlsError::key)?;
        let certified = CertifiedKey::from_der(chain, key, self.config.crypto_provider());
        let certified = certified.map_err(ClientTlsError::key)?;
        let config = Arc::make_mut(&mut self.config);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        // Sessions of whom we were before are not resumed.
        config.resumption = Resumption::default();
        Ok(self)
    }

    /// Speaks TLS on `io`, a connection to `address`, and offers what `protocol` allows.
    pub(crate) async fn handshake(
        &self,
        address: &Address,
        protocol: Protocol,
        io: Io,
    ) -> Result<Box<Stream>, HandshakeError> {
        let server_name = match &self.server_name {
            Some(name) => name.clone(),
            None => name(address).ok_or_else(|| HandshakeError::Unnamed(address.clone()))?,
        };
        let name = server_name.to_str().into_owned();
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = protocol.offered();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(server_name, io).await;
        let mut stream = stream.map_err(|source| HandshakeError::Failed { name, source })?;
        // A write then is one record, which an endpoint cannot read before all of it came: see `Io`.
        stream.get_mut().1.set_buffer_limit(Some(RECORD));
        Ok(Box::new(stream))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for TLS 1.2 and 1.3")
}

/// What the certificate of `address` must be for by default.
fn name(address: &Address) -> Option<ServerName<'static>> {
    match address {
        Address::Socket(socket) => Some(socket.ip().into()),
        Address::Host { name, .. } => ServerName::try_from(name.to_string()).ok(),
        _ => None,
    }
}
