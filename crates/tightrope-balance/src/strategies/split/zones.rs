//! Endpoints nearby, as far as they can take it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use tightrope_upstream::{Endpoint, Snapshot};

use super::{super::fail_open::Percent, Part, SplitPicker, part};
use crate::{HashOn, Picker, Strategy};

/// Any strategy, among the endpoints of the caller's own zone, and among those of others as far as its
/// own cannot take the traffic.
///
/// An endpoint's zone is its [label](tightrope_upstream::Metadata) `zone`; those without one are a zone
/// of their own. Each zone has a strategy of its own. Traffic stays in the zone while the zone has at
/// least as large a share of the available weight as it has of the callers; if it has less, as much
/// stays as keeps the load of all endpoints equal, and the rest goes to the zones that have more than
/// their share. A request that finds nobody in the zone it was drawn for goes to another.
///
/// Which share of the callers is in the zone a balancer cannot see: by default they are taken to be
/// spread evenly over the zones. Zones are ignored where fewer than 6 endpoints are available, since a
/// few cannot be split fairly, and while [health is ignored](crate::FailOpen), since nobody knows then what a
/// zone can take.
///
/// Costs a pick one random number while traffic leaves the zone. Source: Envoy's zone aware routing.
///
/// ```
/// use tightrope_balance::{Balance, PeakEwma, Zones};
/// use tightrope_upstream::Upstream;
///
/// let upstream = Upstream::new("api");
/// let strategy = Zones::new("eu-1a", PeakEwma::new);
/// let balance = Balance::new(&upstream, strategy, ());
/// ```
pub struct Zones<F, T> {
    own: Box<str>,
    make: F,
    strategies: BTreeMap<String, T>,
    /// For all endpoints.
    whole: Option<T>,
    callers: Option<Percent>,
    least: usize,
    affinity: Option<HashOn>,
}

/// Shares are whole numbers that add up to this.
const ALL: u64 = 10_000;

// === impl Zones ===

impl<F, T> Zones<F, T>
where
    F: FnMut() -> T,
{
    /// A strategy that `make` makes for each zone, for a caller in the zone `own`.
    pub fn new(own: impl Into<Box<str>>, make: F) -> Self {
        Self {
            own: own.into(),
            make,
            strategies: BTreeMap::new(),
            whole: None,
            callers: None,
            least: 6,
            affinity: None,
        }
    }

    /// Says that this share of all callers is in the zone. More than 100 counts as 100. Default: as
    /// many as in every other zone.
    #[must_use]
    pub const fn with_callers_percent(mut self, percent: u32) -> Self {
        self.callers = Some(Percent::new(percent));
        self
    }

    /// Ignores zones where fewer endpoints are available. Default: 6, as in Envoy.
    #[must_use]
    pub const fn with_min_endpoints(mut self, endpoints: usize) -> Self {
        self.least = endpoints;
        self
    }

    /// Sends what has the same hash to the same zone, for as long as their shares stay. Default: by
    /// chance.
    #[must_use]
    pub const fn with_affinity(mut self, hash_on: HashOn) -> Self {
        self.affinity = Some(hash_on);
        self
    }

    /// The share of each zone, the own one first; none where zones are ignored.
    fn shares(&self, snapshot: &Snapshot) -> Option<Vec<(String, u32)>> {
        if snapshot.ignores_health() || snapshot.available().len() < self.least {
            return None;
        }
        let mut weights: BTreeMap<&str, u64> = BTreeMap::new();
        for &index in snapshot.candidates() {
            weights
                .entry(zone(&snapshot.members()[index as usize]))
                .or_default();
        }
        for &index in snapshot.available() {
            let member = &snapshot.members()[index as usize];
            *weights.entry(zone(member)).or_default() += u64::from(member.weight().get());
        }
        let all: u64 = weights.values().sum();
        let own = weights.remove(&*self.own).unwrap_or(0) * ALL / all.max(1);
        let others = weights.len() as u64;
        let callers = match self.callers {
            Some(percent) => u64::from(percent.get()) * ALL / 100,
            None => ALL / (others + 1),
        };
        let stays = if own >= callers {
            ALL
        } else {
            own * ALL / callers
        };
        // What each of the others has above the share of its own callers.
        let residual = |weight: u64| {
            let theirs = (ALL - callers) / others.max(1);
            (weight * ALL / all.max(1)).saturating_sub(theirs)
        };
        let spare: u64 = weights.values().map(|&weight| residual(weight)).sum();
        let mut shares = vec![((*self.own).to_owned(), stays as u32)];
        shares.extend(weights.iter().map(|(zone, &weight)| {
            let share = (ALL - stays) * residual(weight) / spare.max(1);
            ((*zone).to_owned(), share as u32)
        }));
        Some(shares)
    }
}

fn zone(endpoint: &Endpoint) -> &str {
    endpoint.metadata().get("zone").unwrap_or_default()
}

impl<F, T> Strategy for Zones<F, T>
where
    F: FnMut() -> T + Send + 'static,
    T: Strategy,
{
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let Some(shares) = self.shares(snapshot) else {
            return self
                .whole
                .get_or_insert_with(&mut self.make)
                .build(snapshot);
        };
        self.strategies
            .retain(|zone, _| shares.iter().any(|(known, _)| known == zone));
        let parts = shares.iter().map(|(name, share)| {
            let members = part(snapshot, |index| zone(&snapshot.members()[index]) == name);
            let strategy = self
                .strategies
                .entry(name.clone())
                .or_insert_with(&mut self.make);
            Part {
                share: *share,
                picker: strategy.build(&members),
            }
        });
        let parts = parts.collect();
        let place = |endpoint: &Endpoint| {
            let place = shares.iter().position(|(name, _)| name == zone(endpoint));
            // None where it is no candidate, and never chosen.
            place.unwrap_or_default() as u32
        };
        let part_of = snapshot
            .members()
            .iter()
            .map(|member| place(member))
            .collect();
        Box::new(SplitPicker::new(parts, part_of, self.affinity))
    }
}

impl<F, T: fmt::Debug> fmt::Debug for Zones<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zones")
            .field("own", &self.own)
            .field("strategies", &self.strategies)
            .finish_non_exhaustive()
    }
}
