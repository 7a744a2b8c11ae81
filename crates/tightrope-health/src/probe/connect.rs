//! Connections to any kind of address.

use std::io;

use tightrope_upstream::{Address, Endpoint};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::Place;
#[cfg(feature = "tls")]
use super::Tls;
use crate::ProbeError;

/// Whatever the other side is connected by.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How a probe gets its connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Connect {
    pub(super) place: Place,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Tls>,
}

impl Connect {
    /// Plain ones, to the endpoint's address.
    pub(super) const fn new() -> Self {
        Self {
            place: Place::Traffic,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Where `endpoint` is connected to.
    pub(super) fn place(&self, endpoint: &Endpoint) -> Result<Address, ProbeError> {
        self.place.of(endpoint)
    }

    /// A new connection to `address`; of a name, to the first of its addresses that takes one.
    pub(super) async fn open(&self, address: &Address) -> Result<Box<dyn Stream>, ProbeError> {
        let stream = open(address).await.map_err(ProbeError::Connect)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.handshake(address, stream).await;
        }
        Ok(stream)
    }
}

async fn open(address: &Address) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Socket(socket) => Ok(Box::new(TcpStream::connect(socket).await?)),
        Address::Host { name, port } => Ok(Box::new(TcpStream::connect((&**name, *port)).await?)),
        #[cfg(unix)]
        Address::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this system has no such sockets",
        )),
    }
}
