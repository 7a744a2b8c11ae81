//! Why a request would go where it would go.

use std::{fmt, sync::Arc};

use tightrope_upstream::{Availability, Endpoint, Snapshot};

use crate::{Context, Picker, Random};

/// Where a request would go, and what of every endpoint counts for that: see
/// [`Balance::explain`](crate::Balance::explain). Its text is a line for each endpoint.
#[derive(Clone, Debug)]
pub struct Explanation {
    snapshot: Arc<Snapshot>,
    chosen: Option<usize>,
    candidates: Box<[Candidate]>,
}

/// What counts for one endpoint, or against it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Whether it may be picked, and if not, why.
    pub availability: Availability,
    /// An earlier attempt of the request went there.
    pub is_tried: bool,
    /// It has as many requests in flight as it may have.
    pub is_full: bool,
    /// Its requests in flight.
    pub in_flight: usize,
    /// What the strategy compares endpoints by, if it does: the lower, the better. Those that draw
    /// compare only who was drawn. Of those that hash, how many others the key wants more; of
    /// [`Prequal`](crate::Prequal), for whom there is a report, the latency in seconds of who is cold,
    /// pressed below 1, and 1 and the load of who is hot.
    pub score: Option<f64>,
}

// === impl Explanation ===

impl Explanation {
    pub(crate) fn new(
        snapshot: &Arc<Snapshot>,
        picker: &dyn Picker,
        context: &Context<'_>,
        random: &mut Random,
    ) -> Self {
        let full = snapshot.members().iter();
        let full = full.filter(|endpoint| !endpoint.has_room());
        let full: Vec<u64> = full.map(|endpoint| endpoint.record().serial()).collect();
        let members = snapshot.members().iter().zip(snapshot.availability());
        let candidates = members
            .enumerate()
            .map(|(index, (endpoint, &availability))| Candidate {
                endpoint: Arc::clone(endpoint),
                availability,
                is_tried: context.has_tried(endpoint),
                is_full: !endpoint.has_room(),
                in_flight: endpoint.record().in_flight(),
                score: picker
                    .score(index, context)
                    .filter(|score| score.is_finite()),
            });
        Self {
            candidates: candidates.collect(),
            chosen: picker.pick(&context.with_full(&full), random),
            snapshot: Arc::clone(snapshot),
        }
    }

    /// The snapshot that it was chosen from.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Where the request would go; `None` if nobody may be picked.
    #[must_use]
    pub fn chosen(&self) -> Option<&Candidate> {
        self.candidates.get(self.chosen?)
    }

    /// All members, in order.
    #[must_use]
    pub const fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (upstream, generation) = (self.snapshot.upstream(), self.snapshot.generation());
        write!(f, "upstream {upstream}, generation {generation}")?;
        for (index, candidate) in self.candidates.iter().enumerate() {
            let is_chosen = self.chosen == Some(index);
            write!(f, "\n{} {candidate}", if is_chosen { '>' } else { ' ' })?;
        }
        Ok(())
    }
}

// === impl Candidate ===

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, weight) = (self.endpoint.id(), self.endpoint.weight().get());
        write!(f, "{id}: {}", self.availability)?;
        if self.is_tried {
            f.write_str(", tried before")?;
        }
        if self.is_full {
            f.write_str(", full")?;
        }
        write!(f, ", weight {weight}, {} in flight", self.in_flight)?;
        match self.score {
            Some(score) => write!(f, ", score {score:.3}"),
            None => Ok(()),
        }
    }
}
