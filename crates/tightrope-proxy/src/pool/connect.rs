//! New connections.

use std::{io, time::Duration};

use tightrope_upstream::{Address, Failure};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{Preamble, error::BoxError, pool::Connection};

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct ConnectError {
    pub(crate) failure: Failure,
    pub(crate) source: Option<BoxError>,
}

/// Connects to `address`, whose name is looked up first if it has one, and sends `preamble`, all
/// within `limit`.
pub(crate) async fn connect(
    address: &Address,
    preamble: Option<&Preamble>,
    limit: Duration,
) -> Result<Connection, ConnectError> {
    match timeout(limit, dial(address, preamble)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => Err(ConnectError {
            failure: Failure::ConnectTimeout,
            source: None,
        }),
    }
}

async fn dial(address: &Address, preamble: Option<&Preamble>) -> Result<Connection, ConnectError> {
    match address {
        Address::Socket(socket) => {
            handshake(tcp(TcpStream::connect(socket).await)?, preamble).await
        }
        Address::Host { name, port } => {
            let stream = tcp(TcpStream::connect((&**name, *port)).await)?;
            handshake(stream, preamble).await
        }
        #[cfg(unix)]
        Address::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(path).await?;
            handshake(stream, preamble).await
        }
        other => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("`{other}` cannot be connected to on this system"),
        )
        .into()),
    }
}

fn tcp(stream: io::Result<TcpStream>) -> io::Result<TcpStream> {
    let stream = stream?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn handshake<T>(
    mut stream: T,
    preamble: Option<&Preamble>,
) -> Result<Connection, ConnectError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    if let Some(preamble) = preamble {
        stream.write_all(preamble.as_bytes()).await?;
    }
    Connection::new(stream).await.map_err(|error| ConnectError {
        failure: Failure::Connect,
        source: Some(error.into()),
    })
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self {
            failure: if is_local(&error) {
                Failure::Local
            } else {
                Failure::Connect
            },
            source: Some(error.into()),
        }
    }
}

/// Whether it is this process or system that has no more sockets, ports or memory, for which no
/// endpoint is to blame.
fn is_local(error: &io::Error) -> bool {
    /// `EMFILE` and `ENFILE`, which have these numbers on every Unix.
    const TOO_MANY_FILES: [i32; 2] = [24, 23];
    let too_many_files = cfg!(unix)
        && error
            .raw_os_error()
            .is_some_and(|code| TOO_MANY_FILES.contains(&code));
    let kinds = [
        io::ErrorKind::AddrNotAvailable,
        io::ErrorKind::OutOfMemory,
        io::ErrorKind::Unsupported,
    ];
    too_many_files || kinds.contains(&error.kind())
}
