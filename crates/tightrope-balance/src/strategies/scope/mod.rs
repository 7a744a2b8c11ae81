//! Strategies that let another choose among some of the endpoints only.

mod aperture;
mod only;
mod subset;

use std::sync::Arc;

use siphasher::sip::SipHasher13;
use tightrope_upstream::{Endpoint, Observer, Snapshot, Weight};

pub use self::{aperture::Aperture, only::Only, subset::Subset};
use super::untried;
use crate::{Context, Picker, Random, Strategy};

/// The weights by which a snapshot is narrowed, kept while its layout stays.
#[derive(Debug, Default)]
struct Narrow {
    layout: u64,
    /// Of every member, by index.
    weights: Box<[Weight]>,
}

/// Picks inside a scope, and outside where nobody inside will do.
#[derive(Debug)]
struct SpillPicker {
    inner: Box<dyn Picker>,
    whole: Arc<Snapshot>,
}

impl Narrow {
    /// What `inner` makes of the part of `snapshot` that `weights` chooses.
    fn build(
        &mut self,
        inner: &mut impl Strategy,
        snapshot: &Snapshot,
        weights: impl FnOnce(&Snapshot) -> Box<[Weight]>,
    ) -> Box<dyn Picker> {
        if self.layout != snapshot.layout_generation() || self.weights.is_empty() {
            self.layout = snapshot.layout_generation();
            self.weights = weights(snapshot);
        }
        let narrow = snapshot.with_weights(|index| self.weights[index]);
        inner.build(&Arc::new(narrow))
    }
}

impl Picker for SpillPicker {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let inside = self.inner.pick(context, random);
        inside.or_else(|| untried(&self.whole, context, random))
    }

    fn score(&self, index: usize, context: &Context<'_>) -> Option<f64> {
        self.inner.score(index, context)
    }

    fn observers(&self) -> &[Arc<dyn Observer>] {
        self.inner.observers()
    }
}

/// The candidates that have a weight.
fn candidates(snapshot: &Snapshot) -> impl Iterator<Item = (usize, &Endpoint)> {
    let candidates = snapshot.candidates().iter().map(|&index| index as usize);
    candidates
        .map(|index| (index, &*snapshot.members()[index]))
        .filter(|(_, endpoint)| endpoint.weight() > Weight::ZERO)
}

/// The same in every process: neither the order of configuration nor the address matters.
fn hash(client: &[u8], endpoint: &Endpoint) -> u64 {
    // The lengths keep "a" + "bc" apart from "ab" + "c".
    let id = endpoint.id().as_str().as_bytes();
    let mut input = Vec::with_capacity(client.len() + id.len() + 8);
    input.extend((client.len() as u64).to_le_bytes());
    input.extend(client);
    input.extend(id);
    SipHasher13::new().hash(&input)
}
