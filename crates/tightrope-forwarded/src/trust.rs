//! Which peers may be believed.

use std::net::IpAddr;
use std::sync::Arc;

use crate::{Cidr, Peer};

/// The proxies in front of us that may say who the client is.
///
/// The default is [nobody](Self::nobody). Only when the peer of the connection is trusted are its identity headers
/// read; `X-Forwarded-For` is then walked from the right past every address that is trusted too, and the first one
/// that is not is the client.
///
/// Trust a peer only if it overwrites or removes the identity headers of its own clients: whatever it passes on is
/// taken for its own word. Trusting `0.0.0.0/0` lets every client choose its address.
///
/// Checking an address costs one comparison per network, in order. Clones share the list.
///
/// ```
/// use tightrope_forwarded::{Peer, Trust};
///
/// let trust = Trust::networks(["10.0.0.0/8".parse()?, "2001:db8::/32".parse()?]);
/// assert!(trust.trusts(&Peer::tcp("10.1.2.3:40000".parse()?)));
/// assert!(!trust.trusts(&Peer::tcp("192.0.2.1:40000".parse()?)));
/// assert!(!trust.trusts(&Peer::unix()));
/// assert!(trust.with_unix_peers().trusts(&Peer::unix()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trust {
    networks: Arc<[Cidr]>,
    unix: bool,
}

impl Trust {
    /// Nobody is believed: every identity header of every peer is overwritten or removed.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Peers with an address in one of these networks are believed. None given is [nobody](Self::nobody).
    #[must_use]
    pub fn networks(networks: impl IntoIterator<Item = Cidr>) -> Self {
        Self {
            networks: networks.into_iter().collect(),
            unix: false,
        }
    }

    /// Peers on Unix sockets are believed as well. Default: they are not.
    ///
    /// Such a peer has no address, so who may open the socket decides: see to the permissions of its directory.
    #[must_use]
    pub fn with_unix_peers(mut self) -> Self {
        self.unix = true;
        self
    }

    /// Whether this peer may be believed.
    #[must_use]
    pub fn trusts(&self, peer: &Peer) -> bool {
        peer.address()
            .map_or(self.unix, |address| self.contains(address))
    }

    /// Whether this address lies in a trusted network. IPv4-mapped IPv6 addresses are compared as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::tcp(text.parse().unwrap())
    }

    #[test]
    fn nobody_is_trusted_by_default() {
        for trust in [Trust::default(), Trust::nobody(), Trust::networks([])] {
            for text in [
                "127.0.0.1:1",
                "[::1]:1",
                "10.0.0.1:1",
                "[::ffff:127.0.0.1]:1",
            ] {
                assert!(!trust.trusts(&peer(text)), "{text}");
            }
            assert!(!trust.trusts(&Peer::unix()));
        }
    }

    #[test]
    fn a_mapped_peer_is_compared_as_ipv4() {
        let trust = Trust::networks(["127.0.0.0/8".parse().unwrap()]);
        assert!(trust.trusts(&peer("[::ffff:127.0.0.9]:1")));
        assert!(!trust.trusts(&peer("[::1]:1")));
    }

    #[test]
    fn unix_peers_are_trusted_only_if_asked_for() {
        let trust = Trust::networks(["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
        assert!(!trust.trusts(&Peer::unix()));
        assert!(trust.with_unix_peers().trusts(&Peer::unix()));
        assert!(
            !Trust::nobody()
                .with_unix_peers()
                .trusts(&peer("127.0.0.1:1"))
        );
    }
}
