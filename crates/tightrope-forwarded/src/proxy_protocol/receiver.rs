//! Reads headers from connections.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::proxy_protocol::{Header, Parsed, ReceiveError, parse};
use crate::{Peer, Trust};

/// Reads the header of each connection from a peer that must send one.
///
/// From such a peer a connection without a header is refused. From all others nothing is read at all: a header that
/// they send reaches whoever reads next, and is no HTTP. Which of both it is, the peer's address decides and never
/// what it sends, as §2 of the specification demands.
///
/// Name only peers that always write a header of their own, and let nobody else connect from their addresses. Do not
/// [trust](Trust) them for `X-Forwarded-For` as well: where they cannot say who their client is, the headers of that
/// client would be believed.
///
/// ```
/// use std::time::Duration;
///
/// use tightrope_forwarded::proxy_protocol::Receiver;
/// use tightrope_forwarded::{Peer, Trust};
/// use tokio::net::TcpListener;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = TcpListener::bind("0.0.0.0:8080").await?;
/// let balancers = Trust::networks(["10.0.0.0/24".parse()?]);
/// let receiver = Receiver::new(balancers).with_timeout(Duration::from_secs(3));
/// loop {
///     let (mut stream, address) = listener.accept().await?;
///     let receiver = receiver.clone();
///     tokio::spawn(async move {
///         match receiver.accept(Peer::tcp(address), &mut stream).await {
///             Ok(peer) => serve(stream, peer).await,
///             Err(error) => eprintln!("{address}: {error}"),
///         }
///     });
/// }
/// # }
/// # async fn serve(_: tokio::net::TcpStream, _: Peer) {}
/// ```
#[derive(Clone, Debug)]
pub struct Receiver {
    senders: Trust,
    limit: Duration,
}

impl Receiver {
    /// Headers are read from `senders`, who must send one, and from nobody else.
    #[must_use]
    pub fn new(senders: Trust) -> Self {
        Self {
            senders,
            limit: Duration::from_secs(5),
        }
    }

    /// How long a header may take until it is complete. Default 5 s; §2 of the specification asks for 3 s at least,
    /// which is one lost packet.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Whether this peer must send a header.
    #[must_use]
    pub fn expects(&self, peer: &Peer) -> bool {
        self.senders.trusts(peer)
    }

    /// Reads the header from `stream`, which was accepted from `peer`, and gives the peer that it names. A peer that
    /// need not send one is given back at once.
    ///
    /// Afterwards `stream` is at the first byte behind the header: no more is read than belongs to it. That takes
    /// three reads in version 2 without long TLVs. The line of version 1 does not say how long it is, and takes about
    /// a dozen for IPv4 and up to 43 for IPv6.
    ///
    /// # Errors
    /// The header is missing, malformed or not complete in time, or the connection ended. What was read is lost and
    /// the connection should be closed.
    ///
    /// # Cancellation
    /// Dropping the future loses what was read, too.
    pub async fn accept<S>(&self, peer: Peer, stream: &mut S) -> Result<Peer, ReceiveError>
    where
        S: AsyncRead + Unpin,
    {
        if !self.expects(&peer) {
            return Ok(peer);
        }
        match timeout(self.limit, read(stream)).await {
            Ok(header) => Ok(peer.with_proxy_header(&header?)),
            Err(_elapsed) => Err(ReceiveError::TimedOut { limit: self.limit }),
        }
    }
}

/// How many bytes are read at once, so that what is long and trickles in costs no more than it is long.
const PIECE: usize = 512;

/// Reads one header and nothing behind it.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Header, ReceiveError> {
    let mut received = Vec::with_capacity(64);
    loop {
        let missing = match parse(&received)? {
            Parsed::Complete { header, .. } => return Ok(header),
            Parsed::Incomplete { missing } => missing,
        };
        let before = received.len();
        received.resize(before + missing.min(PIECE), 0);
        let count = stream.read(&mut received[before..]).await?;
        received.truncate(before + count);
        if count == 0 {
            let received = received.len();
            return Err(ReceiveError::Ended { received });
        }
    }
}
