//! A few of the endpoints for each client, by its name.

use std::sync::Arc;

use tightrope_upstream::{Snapshot, Weight};

use super::{Narrow, SpillPicker, candidates, hash};
use crate::{Picker, Strategy};

/// Any strategy, among a few endpoints that the name of this client chooses.
///
/// Many clients of many endpoints need not all have connections to all: each keeps to a few, the
/// same ones for as long as they are there. Removing an endpoint changes the subsets that it was
/// in by one, and no other. Unlike [`Aperture`](super::Aperture) clients need not know of
/// each other, so how many have an endpoint in their subset is left to chance: prefer it only
/// where their number is not known.
///
/// Where nobody inside is available somebody outside is picked, by weight. A hash of the
/// name with every endpoint when members change, nothing for a pick. Source: rendezvous hashing, as
/// gRPC's proposal A68 uses it for subsetting.
///
/// ```
/// use tightrope_balance::{Balance, PeakEwma, Subset};
/// use tightrope_upstream::Upstream;
///
/// let upstream = Upstream::new("shop");
/// let strategy = Subset::new(PeakEwma::new(), "frontend-17", 20);
/// let balance = Balance::new(&upstream, strategy, ());
/// ```
#[derive(Debug)]
pub struct Subset<T> {
    inner: T,
    client: Box<[u8]>,
    size: usize,
    narrow: Narrow,
}

impl<T> Subset<T> {
    /// `inner` among `size` endpoints (0 counts as 1) that are chosen by `client`, a name that no
    /// other client has and that stays when it is started anew.
    pub fn new(inner: T, client: impl AsRef<[u8]>, size: usize) -> Self {
        Self {
            inner,
            client: client.as_ref().into(),
            size: size.max(1),
            narrow: Narrow::default(),
        }
    }
}

impl<T: Strategy> Strategy for Subset<T> {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let (client, size) = (&self.client, self.size);
        let inner = self.narrow.build(&mut self.inner, snapshot, |snapshot| {
            let mut ranked: Vec<(u64, usize)> = candidates(snapshot)
                .map(|(index, endpoint)| (hash(client, endpoint), index))
                .collect();
            ranked.sort_unstable();
            let mut weights = vec![Weight::ZERO; snapshot.members().len()];
            for &(_, index) in ranked.iter().take(size) {
                weights[index] = snapshot.members()[index].weight();
            }
            weights.into()
        });
        Box::new(SpillPicker {
            inner,
            whole: Arc::clone(snapshot),
        })
    }
}
