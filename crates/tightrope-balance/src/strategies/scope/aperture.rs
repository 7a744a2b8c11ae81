//! A few of the endpoints for each client, by its place among the clients.

use std::sync::Arc;

use tightrope_upstream::{Snapshot, Weight};

use super::{Narrow, SpillPicker, candidates, hash};
use crate::{Picker, Strategy};

/// Any strategy, among a few endpoints that this client's place among all clients chooses, such
/// that every endpoint has its fair share of clients.
///
/// Many clients of many endpoints need not all have connections to all; and the requests of one
/// client are denser on few endpoints, so it learns more of each. The endpoints stand on
/// a ring, in an order that is the same for all clients; each client looks at an arc
/// of it that begins at its own place and is as long as it takes to cover at least 12
/// endpoints, and all arcs together cover the ring evenly. An endpoint at the end of an arc that it
/// is only partly on gets that part of its weight.
///
/// Where nobody inside is available somebody outside is picked, by weight. The endpoints are
/// sorted when members change, nothing is done for a pick. When the number of clients changes, make
/// the balancer anew. Source: the deterministic aperture of Finagle.
///
/// ```
/// use tightrope_balance::{Aperture, Balance, PeakEwma};
/// use tightrope_upstream::Upstream;
///
/// let upstream = Upstream::new("shop");
/// // The fourth of twenty replicas of a service.
/// let strategy = Aperture::new(PeakEwma::new(), 3, 20);
/// let balance = Balance::new(&upstream, strategy, ());
/// ```
#[derive(Debug)]
pub struct Aperture<T> {
    inner: T,
    reach: Reach,
    narrow: Narrow,
}

impl<T> Aperture<T> {
    /// `inner` for the client that has the place `place`, from 0, of `clients` (0 counts as 1; a
    /// place beyond the last comes round).
    pub fn new(inner: T, place: usize, clients: usize) -> Self {
        let clients = clients.max(1) as u64;
        Self {
            inner,
            reach: Reach {
                place: place as u64 % clients,
                clients,
                endpoints: 12,
            },
            narrow: Narrow::default(),
        }
    }

    /// Covers at least this many endpoints; default 12, 0 counts as 1. With fewer it happens that
    /// all of them are out, and with weights that are very uneven some clients have little.
    #[must_use]
    pub const fn with_endpoints(mut self, endpoints: usize) -> Self {
        self.reach.endpoints = if endpoints == 0 { 1 } else { endpoints as u64 };
        self
    }
}

impl<T: Strategy> Strategy for Aperture<T> {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let reach = self.reach;
        let inner = self.narrow.build(&mut self.inner, snapshot, |snapshot| {
            reach.weights(snapshot)
        });
        Box::new(SpillPicker {
            inner,
            whole: Arc::clone(snapshot),
        })
    }
}

/// The part of the ring that a client looks at. The ring has one unit for each pair of a client and
/// an endpoint, so that all that happens on it is in whole units.
#[derive(Clone, Copy, Debug)]
struct Reach {
    place: u64,
    clients: u64,
    endpoints: u64,
}

impl Reach {
    fn weights(self, snapshot: &Snapshot) -> Box<[Weight]> {
        let mut ring: Vec<(u64, usize)> = candidates(snapshot)
            .map(|(index, endpoint)| (hash(&[], endpoint), index))
            .collect();
        ring.sort_unstable();
        let count = ring.len() as u64;
        let covered: Vec<u64> = (0..count).map(|slot| self.covers(slot, count)).collect();
        let is_even = covered
            .iter()
            .all(|&part| part == 0 || part == self.clients);
        let heaviest = ring
            .iter()
            .map(|&(_, index)| snapshot.members()[index].weight().get())
            .max();
        // Room for parts of the smallest weight.
        let scale = if is_even {
            1
        } else {
            (Weight::MAX.get() / heaviest.unwrap_or(1)).clamp(1, 100)
        };
        let mut weights = vec![Weight::ZERO; snapshot.members().len()];
        for (&(_, index), part) in ring.iter().zip(covered) {
            let whole = u64::from(snapshot.members()[index].weight().get() * scale);
            let weight = (whole * part).div_ceil(self.clients) as u32;
            weights[index] = Weight::new(weight).unwrap_or(Weight::MAX);
        }
        weights.into()
    }

    /// How much of the endpoint in `slot` of `count` the arc covers, out of `clients`.
    fn covers(self, slot: u64, count: u64) -> u64 {
        let ring = count * self.clients;
        let least = self.endpoints.min(count);
        // Whole steps from client to client, so that the arcs together cover everybody evenly.
        let length = (least * self.clients).div_ceil(count) * count;
        let (from, to) = (slot * self.clients, (slot + 1) * self.clients);
        let (start, end) = (self.place * count, self.place * count + length);
        // The arc may go round past the beginning.
        let overlap = |start: u64, end: u64| end.min(to).saturating_sub(start.max(from));
        let round = end.saturating_sub(ring);
        overlap(start, end.min(ring)) + overlap(0, round.min(start))
    }
}
