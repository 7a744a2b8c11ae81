//! What can be wrong with TLS.

use std::{error::Error, io};

use tightrope_upstream::Address;

use crate::error::BoxError;

/// Why a setting of [`ClientTls`](crate::ClientTls) was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientTlsError {
    /// The system has no certificates of authorities, or they cannot be read.
    #[error("the system has no certificates to trust")]
    SystemRoots(#[source] Option<Box<dyn Error + Send + Sync>>),
    /// They are not certificates in PEM, or cannot be trusted in.
    #[error("roots cannot be read")]
    Roots(#[source] Box<dyn Error + Send + Sync>),
    /// Nobody would be trusted.
    #[error("roots have no certificate in PEM")]
    NoRoots,
    /// No certificate could be for it.
    #[error("server name `{name}` is neither a host name nor an IP address")]
    ServerName {
        /// The name as it was given.
        name: String,
    },
    /// It is not a certificate in PEM.
    #[error("client certificate cannot be read")]
    Certificate(#[source] Box<dyn Error + Send + Sync>),
    /// There is nothing to show.
    #[error("client certificate has no certificate in PEM")]
    NoCertificate,
    /// It is not a key in PEM, is of an unknown kind, or belongs to another certificate.
    #[error("key of the client certificate cannot be used")]
    Key(#[source] Box<dyn Error + Send + Sync>),
}

/// Why TLS is not spoken on a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("`{0}` is no name that a certificate could be for; a server name is needed")]
    Unnamed(Address),
    #[error("TLS handshake with `{name}` failed")]
    Failed { name: String, source: io::Error },
}

impl ClientTlsError {
    pub(super) fn roots(error: impl Into<BoxError>) -> Self {
        Self::Roots(error.into())
    }

    pub(super) fn certificate(error: impl Into<BoxError>) -> Self {
        Self::Certificate(error.into())
    }

    pub(super) fn key(error: impl Into<BoxError>) -> Self {
        Self::Key(error.into())
    }
}
