//! Connections to any kind of address.

use std::io;

use tightrope_upstream::Address;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::ProbeError;

/// Whatever the other side is connected by.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A new connection to `address`; of a name, to the first of its addresses that takes one.
pub(super) async fn connect(address: &Address) -> Result<Box<dyn Stream>, ProbeError> {
    open(address).await.map_err(ProbeError::Connect)
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
