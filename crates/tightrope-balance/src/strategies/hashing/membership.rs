//! What is built over the candidates of a snapshot, and kept while they stay the same.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::{HashOn, mix};

/// A table over the candidates, and the identity of each member.
#[derive(Debug)]
pub(super) struct Membership<T> {
    pub(super) table: T,
    pub(super) identities: Box<[Identity]>,
}

/// What a member is known by among hashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    /// The hash of its id: neither its place in the configuration nor its address matters.
    pub(super) seed: u64,
    pub(super) weight: u32,
}

/// The newest membership: availability comes and goes without a new one.
#[derive(Debug)]
pub(super) struct Newest<T> {
    layout: u64,
    membership: Option<Arc<Membership<T>>>,
}

/// A candidate: its place among the members, and its identity.
pub(super) type Candidate = (u32, Identity);

impl<T> Newest<T> {
    /// That of `snapshot`, built by `table`, which is given the one before, if members, weights or
    /// the active group changed.
    pub(super) fn of(
        &mut self,
        snapshot: &Snapshot,
        hash_on: &HashOn,
        table: impl FnOnce(&[Candidate], Option<&T>) -> T,
    ) -> Arc<Membership<T>> {
        let layout = snapshot.layout_generation();
        match &self.membership {
            Some(membership) if self.layout == layout => Arc::clone(membership),
            _ => {
                let before = self.membership.as_ref().map(|before| &before.table);
                let table = |candidates: &[Candidate]| table(candidates, before);
                let built = Arc::new(Membership::new(snapshot, hash_on, table));
                self.layout = layout;
                self.membership = Some(Arc::clone(&built));
                built
            }
        }
    }
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self {
            layout: 0,
            membership: None,
        }
    }
}

impl<T> Membership<T> {
    fn new(snapshot: &Snapshot, hash_on: &HashOn, table: impl FnOnce(&[Candidate]) -> T) -> Self {
        let members = snapshot.members().iter();
        let identities: Box<[Identity]> = members
            .map(|member| Identity {
                seed: mix::mix(hash_on.hash_bytes(member.id().as_str().as_bytes())),
                weight: member.weight().get(),
            })
            .collect();
        let candidates = snapshot.candidates().iter();
        let candidates: Vec<Candidate> = candidates
            .map(|&index| (index, identities[index as usize]))
            .filter(|(_, identity)| identity.weight > 0)
            .collect();
        Self {
            table: table(&candidates),
            identities,
        }
    }
}
