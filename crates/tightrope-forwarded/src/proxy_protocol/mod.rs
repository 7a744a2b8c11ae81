//! The PROXY protocol, versions 1 and 2: how a proxy that does not speak HTTP says who its client is.
//!
//! The proxy writes a short [`Header`] in front of what its client sends. [`parse`] reads one out of bytes,
//! [`Header::to_bytes`] writes one, and [`Peer::with_proxy_header`] makes the client it names the [`Peer`] of the
//! connection. With the feature `tokio`, a `Receiver` does this for accepted connections: from peers that must send
//! a header, within a time limit, and from nobody else.
//!
//! Use it behind a balancer of TCP connections, such as one of a cloud. Behind a proxy that speaks HTTP,
//! `X-Forwarded-For` says the same of each request.
//!
//! ```
//! use tightrope_forwarded::Peer;
//! use tightrope_forwarded::proxy_protocol::{self, Parsed};
//!
//! let received = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\nGET / HTTP/1.1\r\n";
//! let Parsed::Complete { header, length } = proxy_protocol::parse(received)? else {
//!     panic!("all of it is there");
//! };
//! assert_eq!(&received[length..], b"GET / HTTP/1.1\r\n");
//! assert_eq!(header.source(), Some("203.0.113.7:56324".parse()?));
//!
//! let balancer = Peer::tcp("10.0.0.2:40000".parse()?);
//! let client = balancer.with_proxy_header(&header);
//! assert_eq!(client.address(), Some("203.0.113.7".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What comes behind the addresses of version 2 (TLVs: TLS, host name, checksum, ids) must be well formed and is
//! skipped. A checksum is not verified: TCP has one, and a peer that is believed could write any.
//!
//! Source: `doc/proxy-protocol.txt` of HAProxy, in the version of 2020/03/05; its sections are named in the code.
//!
//! [`Peer`]: crate::Peer
//! [`Peer::with_proxy_header`]: crate::Peer::with_proxy_header

mod error;
mod header;
#[cfg(feature = "tokio")]
mod receiver;
mod v1;
mod v2;

pub use self::error::HeaderError;
#[cfg(feature = "tokio")]
pub use self::error::ReceiveError;
pub use self::header::{Header, Version};
#[cfg(feature = "tokio")]
pub use self::receiver::Receiver;

/// What [`parse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parsed {
    /// All of the header is there.
    Complete {
        /// What it says.
        header: Header,
        /// How many bytes it takes. What follows is not part of it.
        length: usize,
    },
    /// What is there could be the beginning of a header.
    Incomplete {
        /// At least this many bytes of the header, and one or more, are still to come. Who reads no more than these
        /// at once never reads past the header.
        missing: usize,
    },
}

/// Reads the header that `input` begins with. Allocates only for an error.
///
/// An error is reported as soon as the bytes that show it are there, and once reported is not mended by more bytes.
///
/// # Errors
/// `input` does not begin with a header of either version, or with one that is malformed.
pub fn parse(input: &[u8]) -> Result<Parsed, HeaderError> {
    // §2.2: "Identifying the protocol version is easy": their first bytes differ.
    match input.first() {
        None => Ok(Parsed::Incomplete {
            missing: v1::SHORTEST.min(v2::SHORTEST),
        }),
        Some(b'P') => v1::parse(input),
        Some(_) => v2::parse(input),
    }
}

/// Whether `input` agrees with `prefix` for as far as both go.
fn begins(input: &[u8], prefix: &[u8]) -> bool {
    input.iter().zip(prefix).all(|(a, b)| a == b)
}
