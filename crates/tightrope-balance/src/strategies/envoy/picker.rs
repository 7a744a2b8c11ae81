//! The picker that Envoy's hashing strategies share.

use std::{fmt, sync::Arc};

use tightrope_upstream::Snapshot;
use xxhash_rust::xxh64::xxh64;

use super::overload::Overload;
use crate::{
    Context, Picker, Random,
    strategies::{hashing::Table, untried},
};

/// Those who are available, in order, with weights that sum up to 1.
pub(super) struct Hosts {
    snapshot: Arc<Snapshot>,
    weights: Box<[f64]>,
}

struct EnvoyPicker<T> {
    hosts: Hosts,
    table: T,
    /// In percent.
    balance_factor: Option<u32>,
}

/// How often a retry that hits somebody who was tried is hashed anew.
const TRIES: usize = 32;

pub(super) fn build<T: Table>(
    snapshot: &Arc<Snapshot>,
    balance_factor: Option<u32>,
    table: impl FnOnce(&Hosts) -> T,
) -> Box<dyn Picker> {
    let hosts = Hosts::new(snapshot);
    Box::new(EnvoyPicker {
        table: table(&hosts),
        hosts,
        balance_factor,
    })
}

// === impl Hosts ===

impl Hosts {
    fn new(snapshot: &Arc<Snapshot>) -> Self {
        let members = snapshot.members();
        let available = snapshot.available().iter();
        let weights: Vec<u32> = available
            .map(|&index| members[index as usize].weight().get())
            .collect();
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        Self {
            snapshot: Arc::clone(snapshot),
            weights: weights.iter().map(|&w| f64::from(w) / total).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }

    /// What each is hashed by.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let available = self.snapshot.available().iter();
        available.map(|&index| self.snapshot.members()[index as usize].id().as_str())
    }

    pub(super) fn weights(&self) -> impl Iterator<Item = f64> {
        self.weights.iter().copied()
    }

    pub(super) const fn weight(&self, host: u32) -> f64 {
        self.weights[host as usize]
    }

    pub(super) fn index(&self, host: usize) -> usize {
        self.snapshot.available()[host] as usize
    }

    /// The requests in flight on a host.
    pub(super) fn active(&self, host: usize) -> u64 {
        let member = &self.snapshot.members()[self.index(host)];
        member.record().in_flight() as u64
    }

    /// The requests in flight on all members, available or not.
    pub(super) fn active_in_all(&self) -> u64 {
        let members = self.snapshot.members().iter();
        members.map(|m| m.record().in_flight() as u64).sum()
    }
}

// === impl EnvoyPicker ===

impl<T: Table> Picker for EnvoyPicker<T> {
    fn pick(&self, context: &Context<'_>, random: &mut Random) -> Option<usize> {
        let hash = match context.key() {
            Some(key) => xxh64(key, 0),
            None => random.next_u64(),
        };
        let snapshot = &self.hosts.snapshot;
        let may = |host: usize| !context.has_tried(&snapshot.members()[self.hosts.index(host)]);
        let mut route = self.table.route(hash).take(TRIES);
        let host = route.find(|&host| may(host)).map(|first| {
            self.balance_factor.map_or(first, |percent| {
                Overload::new(&self.hosts, percent).find(first, hash, may)
            })
        });
        match host {
            Some(host) => Some(self.hosts.index(host)),
            // By the hash, so that a key goes the same way again.
            None => untried(snapshot, context, &mut Random::from_seed(hash)),
        }
    }
}

impl<T> fmt::Debug for EnvoyPicker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvoyPicker")
            .field("snapshot", &self.hosts.snapshot)
            .field("balance_factor", &self.balance_factor)
            .finish_non_exhaustive()
    }
}
