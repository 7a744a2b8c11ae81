//! Where an endpoint is reached.

use std::{
    fmt,
    net::{SocketAddr, SocketAddrV6},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

/// Where an endpoint is reached: an IP address and port, a host name and port, or a Unix socket.
///
/// Written and parsed as `127.0.0.1:8080`, `[::1]:8080`, `api.internal:8080` and
/// `unix:/run/api.sock`; printing gives back what parses to the same address. A host name is
/// resolved by whoever connects, at each connection, and is never looked up here.
///
/// ```
/// use tightrope_upstream::Address;
///
/// let address: Address = "api.internal:8080".parse()?;
/// assert_eq!(address.to_string(), "api.internal:8080");
/// assert!("api.internal".parse::<Address>().is_err()); // no port
/// # Ok::<(), tightrope_upstream::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A host name, in lower case, and port.
    Host {
        /// The name, at most 253 bytes of letters, digits, `-`, `_` and `.`.
        name: Arc<str>,
        /// The port, never 0.
        port: u16,
    },
    /// The path of a Unix socket: UTF-8 that begins with `/`, at most 107 bytes without NUL. Only
    /// Unix systems can connect to it.
    Unix(Arc<Path>),
}

/// A text that is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not an address ({reason}); expected IP:PORT, NAME:PORT or unix:/PATH")]
pub struct AddressError {
    value: String,
    reason: &'static str,
}

// === impl Address ===

impl Address {
    /// The prefix that marks the path of a Unix socket.
    const UNIX: &'static str = "unix:";

    /// The longest path that fits a Unix socket address of Linux; other systems have less.
    const LONGEST_PATH: usize = 107;

    /// A host name and port.
    ///
    /// # Errors
    /// The name is empty, longer than 253 bytes or has characters that no host name has, or the
    /// port is 0.
    pub fn host(name: &str, port: u16) -> Result<Self, AddressError> {
        let fail = |reason| AddressError {
            value: format!("{name}:{port}"),
            reason,
        };
        if port == 0 {
            return Err(fail("port 0 cannot be connected to"));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() || name.len() > 253 {
            return Err(fail("a host name has 1 to 253 bytes"));
        }
        let labels_hold = name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
        if !labels_hold {
            return Err(fail("not a host name"));
        }
        // A name whose last label is a number is an IPv4 address that did not parse.
        let last = name.rsplit('.').next().unwrap_or(name);
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail("not an IPv4 address"));
        }
        Ok(Self::Host {
            name: name.to_ascii_lowercase().into(),
            port,
        })
    }

    /// The path of a Unix socket.
    ///
    /// # Errors
    /// The path is not absolute, longer than 107 bytes, or has what cannot be written down: bytes
    /// that are not UTF-8, or NUL.
    pub fn unix(path: impl Into<PathBuf>) -> Result<Self, AddressError> {
        let path = path.into();
        let fail = |reason| AddressError {
            value: format!("{}{}", Self::UNIX, path.display()),
            reason,
        };
        let text = path
            .to_str()
            .ok_or_else(|| fail("the path of a Unix socket is UTF-8"))?;
        if !text.starts_with('/') {
            return Err(fail("the path of a Unix socket is absolute"));
        }
        if text.len() > Self::LONGEST_PATH || text.contains('\0') {
            return Err(fail("a Unix socket has a path of 1 to 107 bytes"));
        }
        Ok(Self::Unix(path.into()))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix(Self::UNIX) {
            return Self::unix(path);
        }
        let fail = |reason| AddressError {
            value: text.to_owned(),
            reason,
        };
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return Self::try_from(socket).map_err(|error| fail(error.reason));
        }
        let (name, port) = text.rsplit_once(':').ok_or_else(|| fail("no port"))?;
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fail("the port is not a number"));
        }
        let port = port
            .parse()
            .map_err(|_| fail("the port is not between 1 and 65535"))?;
        Self::host(name, port).map_err(|error| fail(error.reason))
    }
}

impl TryFrom<SocketAddr> for Address {
    type Error = AddressError;

    fn try_from(socket: SocketAddr) -> Result<Self, AddressError> {
        if socket.port() == 0 {
            return Err(AddressError {
                value: socket.to_string(),
                reason: "port 0 cannot be connected to",
            });
        }
        // The flow of IPv6 belongs to a packet, not to an address, and has no text.
        Ok(Self::Socket(match socket {
            SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
            v4 @ SocketAddr::V4(_) => v4,
        }))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => socket.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "{}{}", Self::UNIX, path.display()),
        }
    }
}
