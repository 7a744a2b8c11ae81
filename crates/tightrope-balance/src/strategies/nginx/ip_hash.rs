//! By client address.

use std::{
    iter,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use tightrope_upstream::Snapshot;

use super::places::Places;
use crate::{Context, Picker, Random, RoundRobin, Strategy};

/// nginx's `ip_hash`: a client stays on its endpoint for as long as that is available.
///
/// Of an IPv4 address only the first three octets count, so a whole /24 goes together; of an IPv6
/// address all of it, IPv4-mapped ones included. The hash has 6,271 values: with a larger sum of
/// weights the last endpoints get nobody. Endpoints that are unavailable keep their places, so
/// nobody else moves when one fails; removing one moves most clients. Choose a consistent hash
/// where endpoints come and go.
///
/// A request whose client address is not known goes by turns, as do those whose 21 hashes all hit
/// somebody unavailable. At most 21 steps a pick, 8 bytes an endpoint. Source: `ip_hash` of nginx
/// 1.22.1.
#[derive(Debug, Default)]
pub struct IpHash {
    turns: RoundRobin,
}

#[derive(Debug)]
struct IpHashPicker(Places);

impl IpHash {
    /// The strategy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Strategy for IpHash {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let turns = self.turns.picker(snapshot);
        Box::new(IpHashPicker(Places::new(snapshot, turns)))
    }
}

impl Picker for IpHashPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        match context.client() {
            Some(IpAddr::V4(client)) => self.0.find(hashes(&network(client)), context, random),
            Some(IpAddr::V6(client)) => self.0.find(hashes(&bytes(client)), context, random),
            None => self.0.find(iter::empty(), context, random),
        }
    }
}

const fn network(client: Ipv4Addr) -> [u8; 3] {
    let [a, b, c, _] = client.octets();
    [a, b, c]
}

const fn bytes(client: Ipv6Addr) -> [u8; 16] {
    client.octets()
}

/// The hash of the address, then that of the address from there on, and so forth.
fn hashes(address: &[u8]) -> impl Iterator<Item = u32> {
    let mut hash = 89;
    iter::repeat_with(move || {
        for &byte in address {
            hash = (hash * 113 + u32::from(byte)) % 6271;
        }
        hash
    })
}
