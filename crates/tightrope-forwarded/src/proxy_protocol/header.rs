//! What a header says.

use std::net::{IpAddr, SocketAddr};

use crate::proxy_protocol::{v1, v2};
use crate::{Client, Peer};

/// A header of the PROXY protocol: between whom the connection is that the sender passes on.
///
/// ```
/// use tightrope_forwarded::proxy_protocol::{Header, Version};
///
/// let header = Header::new(Version::V1, "203.0.113.7:56324".parse()?, "192.0.2.1:443".parse()?);
/// assert_eq!(header.to_bytes(), b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    version: Version,
    content: Content,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Local,
    Unknown,
    /// Both of one family.
    Addresses {
        source: SocketAddr,
        destination: SocketAddr,
    },
}

impl Header {
    /// A connection from the client at `source` to `destination`.
    ///
    /// IPv4-mapped IPv6 addresses are written as IPv4, unless only one of the two is of IPv4: then both are written
    /// as IPv6. Scopes of IPv6 addresses are left out.
    #[must_use]
    pub fn new(version: Version, source: SocketAddr, destination: SocketAddr) -> Self {
        let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
        let (from, to) = match (from, to) {
            (IpAddr::V4(from), to @ IpAddr::V6(_)) => (from.to_ipv6_mapped().into(), to),
            (from @ IpAddr::V6(_), IpAddr::V4(to)) => (from, to.to_ipv6_mapped().into()),
            same => same,
        };
        let source = SocketAddr::new(from, source.port());
        let destination = SocketAddr::new(to, destination.port());
        Self::with(
            version,
            Content::Addresses {
                source,
                destination,
            },
        )
    }

    /// A connection for somebody who has no address that could be told. Some receivers refuse this in version 1.
    #[must_use]
    pub const fn unknown(version: Version) -> Self {
        Self::with(version, Content::Unknown)
    }

    /// A connection that the sender makes for itself, such as a health check. Version 1 has no way to say this.
    #[must_use]
    pub const fn local() -> Self {
        Self::with(Version::V2, Content::Local)
    }

    /// What a request's `client`, and the `peer` whose connection it came in on, give to say to an endpoint:
    /// [unknown](Self::unknown) if the address of either end is not known, and port 0 where the client's is not.
    #[must_use]
    pub fn of(version: Version, client: &Client, peer: &Peer) -> Self {
        match (client.address(), peer.local_addr()) {
            (Some(address), Some(destination)) => {
                let source = SocketAddr::new(address, client.port().unwrap_or(0));
                Self::new(version, source, destination)
            }
            _ => Self::unknown(version),
        }
    }

    pub(super) const fn with(version: Version, content: Content) -> Self {
        Self { version, content }
    }

    /// The version that it was received in, or will be written in.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Where the client is. `None` if the sender speaks for itself, or does not know or say.
    #[must_use]
    pub const fn source(&self) -> Option<SocketAddr> {
        match self.content {
            Content::Addresses { source, .. } => Some(source),
            Content::Local | Content::Unknown => None,
        }
    }

    /// What the client connected to. `None` as for the [source](Self::source).
    #[must_use]
    pub const fn destination(&self) -> Option<SocketAddr> {
        match self.content {
            Content::Addresses { destination, .. } => Some(destination),
            Content::Local | Content::Unknown => None,
        }
    }

    /// Whether the sender makes the connection for itself and for no client.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self.content, Content::Local)
    }

    /// The bytes that go first over the connection, in one piece. At most 107.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self.version {
            Version::V1 => v1::write(self.content),
            Version::V2 => v2::write(self.content),
        }
    }
}
