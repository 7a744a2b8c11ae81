//! New connections.

use std::{error::Error, fmt, io};

use tightrope_upstream::{Address, Failure};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

#[cfg(feature = "tls")]
use crate::tls::HandshakeError;
use crate::{ForwardConfig, Preamble, Protocol, error::BoxError, h1, h2, io::Io};

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct ConnectError {
    pub(crate) failure: Failure,
    pub(crate) source: Option<BoxError>,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => source.fmt(f),
            None => self.failure.fmt(f),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref()?.source()
    }
}

/// A new connection.
#[derive(Debug)]
pub(super) enum Made {
    Http1(Box<h1::Connection>),
    Http2(h2::Connection),
}

/// Connects to `address`, whose name is looked up first if it has one, sends `preamble` and speaks TLS
/// if that is configured, all within the timeout. What is spoken then is `protocol`, or agreed on within TLS.
pub(super) async fn connect(
    address: &Address,
    protocol: Protocol,
    preamble: Option<&Preamble>,
    config: &ForwardConfig,
) -> Result<Made, ConnectError> {
    let made = async {
        let io = dial(address, preamble).await?;
        #[cfg(feature = "tls")]
        let io = match &config.tls {
            Some(tls) => Io::Tls(tls.handshake(address, protocol, io).await?),
            None => io,
        };
        if io.speaks_http2().unwrap_or(protocol == Protocol::Http2) {
            let connection = h2::Connection::start(io, config.connect_timeout).await?;
            return Ok(Made::Http2(connection));
        }
        Ok(Made::Http1(h1::Connection::new(io)))
    };
    match timeout(config.connect_timeout, made).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => Err(ConnectError::timed_out()),
    }
}

async fn dial(address: &Address, preamble: Option<&Preamble>) -> Result<Io, ConnectError> {
    let mut io = match address {
        Address::Socket(socket) => tcp(TcpStream::connect(socket).await)?,
        Address::Host { name, port } => tcp(TcpStream::connect((&**name, *port)).await)?,
        #[cfg(unix)]
        Address::Unix(path) => Io::Unix(tokio::net::UnixStream::connect(path).await?),
        other => {
            let message = format!("`{other}` cannot be connected to on this system");
            return Err(io::Error::new(io::ErrorKind::Unsupported, message).into());
        }
    };
    if let Some(preamble) = preamble {
        io.write_all(preamble.as_bytes()).await?;
    }
    Ok(io)
}

fn tcp(stream: io::Result<TcpStream>) -> io::Result<Io> {
    let stream = stream?;
    stream.set_nodelay(true)?;
    Ok(Io::Tcp(stream))
}

impl ConnectError {
    pub(crate) const fn timed_out() -> Self {
        Self {
            failure: Failure::ConnectTimeout,
            source: None,
        }
    }
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

impl From<::h2::Error> for ConnectError {
    fn from(error: ::h2::Error) -> Self {
        Self {
            failure: Failure::Connect,
            source: Some(error.into()),
        }
    }
}

#[cfg(feature = "tls")]
impl From<HandshakeError> for ConnectError {
    fn from(error: HandshakeError) -> Self {
        Self {
            failure: match &error {
                HandshakeError::Unnamed(_) => Failure::Local,
                HandshakeError::Failed { .. } => Failure::Connect,
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
