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
/// Where the addresses of the proxies in front are not known but their number is, as behind a content delivery
/// network, [`hops`](Self::hops) counts instead. Nothing else must then be able to connect to us: who comes past
/// those proxies chooses its address.
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
    entries: Entries,
    unix: bool,
}

/// Which entries of a list, counted from the right, may become the client.
#[derive(Clone, Copy, Debug, Default)]
enum Entries {
    /// One after the other, past every address that is trusted.
    #[default]
    WhileTrusted,
    /// The first alone.
    Nearest,
    /// The one with this number alone.
    Nth(usize),
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
            ..Self::default()
        }
    }

    /// As [`networks`](Self::networks), but the last entry of the list is the client even if it is trusted as well.
    ///
    /// For one row of proxies each of which writes down the client that it saw: `real_ip_recursive off` of nginx.
    #[must_use]
    pub fn nearest(networks: impl IntoIterator<Item = Cidr>) -> Self {
        Self {
            entries: Entries::Nearest,
            ..Self::networks(networks)
        }
    }

    /// Every peer with an address is believed, and the `count`-th entry of its list from the right is the client:
    /// `xff_num_trusted_hops` of Envoy. `0` is [nobody](Self::nobody).
    ///
    /// With `1` there is one proxy in front of us, and what it wrote down is the client. If the list has fewer
    /// entries, or that one is no address, the client is the peer. The entries to its right are not looked at.
    #[must_use]
    pub fn hops(count: usize) -> Self {
        Self {
            entries: Entries::Nth(count),
            ..Self::default()
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
        match (self.entries, peer.address()) {
            (Entries::Nth(0), _) => false,
            (_, None) => self.unix,
            (Entries::Nth(_), Some(_)) => true,
            (_, Some(address)) => self.contains(address),
        }
    }

    /// Whether this address lies in a trusted network; with [`hops`](Self::hops) there are none. IPv4-mapped IPv6 addresses are compared as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(address))
    }

    /// How many entries from the right are passed over unseen, and how many of the next ones may be followed.
    pub(crate) fn entries(&self) -> (usize, usize) {
        match self.entries {
            Entries::WhileTrusted => (0, usize::MAX),
            Entries::Nearest => (0, 1),
            Entries::Nth(number) => (number.saturating_sub(1), 1),
        }
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
        for trust in [
            Trust::default(),
            Trust::nobody(),
            Trust::networks([]),
            Trust::hops(0),
        ] {
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

    #[test]
    fn counting_hops_believes_every_address_and_unix_peers_only_if_asked_for() {
        assert!(Trust::hops(1).trusts(&peer("192.0.2.1:1")));
        assert!(!Trust::hops(1).contains("192.0.2.1".parse().unwrap()));
        assert!(!Trust::hops(1).trusts(&Peer::unix()));
        assert!(Trust::hops(1).with_unix_peers().trusts(&Peer::unix()));
        assert!(!Trust::hops(0).with_unix_peers().trusts(&Peer::unix()));
    }
}
