//! Those of a lower priority while those of a higher one cannot take all.

use std::{collections::BTreeMap, fmt, sync::Arc};

use tightrope_upstream::{Availability, Snapshot};

use super::{
    super::fail_open::Percent,
    Part, SplitPicker,
    loads::{Level, loads},
    part,
};
use crate::{HashOn, Picker, Strategy};

/// Any strategy, among endpoints of the first priority, and among those of the next ones as far as the
/// first cannot take the traffic.
///
/// An endpoint says its [priority](tightrope_upstream::EndpointSpec::with_priority); 0 goes first. Each
/// priority has a strategy of its own. It gets as much of the traffic as it is healthy, which is the
/// share of its endpoints that are available, times 1.4: so the first keeps all of it until less than 72 %
/// of it are left, and what is over goes to the next. A request that finds nobody in its priority,
/// since all were tried or are full, goes to the first of the others that has somebody.
///
/// For **backup** servers, which get nothing while any of the first is left, choose
/// [`without_spill`](Self::without_spill): nginx's and HAProxy's `backup`.
///
/// Which priority a request goes to is drawn by chance, or with [affinity](Self::with_affinity) by the
/// hash of its key. Costs a pick one random number while more than one priority gets traffic. Source:
/// Envoy's priority levels.
///
/// ```
/// use tightrope_balance::{Balance, Context, Priorities, RoundRobin};
/// use tightrope_upstream::{Change, EndpointSpec, Health, Upstream};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let upstream = Upstream::new("api");
/// upstream.apply(Change::new().replace([
///     EndpointSpec::new("10.0.0.1:80".parse()?),
///     EndpointSpec::new("10.0.0.2:80".parse()?).with_priority(1),
/// ]))?;
/// let strategy = Priorities::new(RoundRobin::new);
/// let mut balance = Balance::new(&upstream, strategy, ());
/// assert_eq!(balance.pick(&Context::new())?.endpoint().id().as_str(), "10.0.0.1:80");
///
/// upstream.apply(Change::new().set_health("10.0.0.1:80".parse()?, Health::Unhealthy, "probe"))?;
/// assert_eq!(balance.pick(&Context::new())?.endpoint().id().as_str(), "10.0.0.2:80");
/// # Ok(())
/// # }
/// ```
pub struct Priorities<F, T> {
    make: F,
    strategies: BTreeMap<u8, T>,
    over_provisioning: u32,
    panic: Percent,
    affinity: Option<HashOn>,
}

/// So much health that whoever has one endpoint left takes all.
const ANY: u32 = u32::MAX;

// === impl Priorities ===

impl<F, T> Priorities<F, T>
where
    F: FnMut() -> T,
{
    /// A strategy that `make` makes for each priority.
    pub const fn new(make: F) -> Self {
        Self {
            make,
            strategies: BTreeMap::new(),
            over_provisioning: 140,
            panic: Percent::new(0),
            affinity: None,
        }
    }

    /// Takes a priority for as healthy as the share of its available endpoints times this, in percent. Less
    /// than 100 counts as 100. Default: 140, as in Envoy.
    #[must_use]
    pub fn with_over_provisioning(mut self, percent: u32) -> Self {
        self.over_provisioning = percent.max(100);
        self
    }

    /// Leaves nothing to the next priority while anybody of one is available.
    #[must_use]
    pub const fn without_spill(mut self) -> Self {
        self.over_provisioning = ANY;
        self
    }

    /// Ignores health in a priority of which less than `percent` are available, while all priorities
    /// together cannot take all of the traffic. More than 100 counts as 100. Default: 0, never; Envoy's
    /// is 50. See [`FailOpen`](crate::FailOpen) for what that is good for.
    #[must_use]
    pub const fn with_panic_threshold(mut self, percent: u32) -> Self {
        self.panic = Percent::new(percent);
        self
    }

    /// Sends what has the same hash to the same priority, for as long as their shares stay. Default: by
    /// chance.
    #[must_use]
    pub const fn with_affinity(mut self, hash_on: HashOn) -> Self {
        self.affinity = Some(hash_on);
        self
    }
}

impl<F, T> Strategy for Priorities<F, T>
where
    F: FnMut() -> T + Send + 'static,
    T: Strategy,
{
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        let mut levels: BTreeMap<u8, Level> = BTreeMap::new();
        for &index in snapshot.candidates() {
            let index = index as usize;
            let (member, availability) =
                (&snapshot.members()[index], snapshot.availability()[index]);
            let level = levels.entry(member.spec().priority).or_insert(Level {
                available: 0,
                in_service: 0,
            });
            level.available += usize::from(availability == Availability::Available);
            level.in_service += usize::from(availability.is_in_service());
        }
        self.strategies
            .retain(|priority, _| levels.contains_key(priority));
        let figures: Vec<Level> = levels.values().copied().collect();
        let loads = loads(&figures, self.over_provisioning, self.panic);
        let parts = levels.keys().zip(loads).map(|(&priority, load)| {
            let priority_of = |index: usize| snapshot.members()[index].spec().priority;
            let mut level = part(snapshot, |index| priority_of(index) == priority);
            if load.is_in_panic {
                level = Arc::new(level.ignoring_health());
            }
            let strategy = self
                .strategies
                .entry(priority)
                .or_insert_with(&mut self.make);
            Part {
                share: load.share,
                picker: strategy.build(&level),
            }
        });
        let parts = parts.collect();
        let place = |priority| levels.range(..priority).count() as u32;
        let members = snapshot.members().iter();
        let part_of = members
            .map(|member| place(member.spec().priority))
            .collect();
        Box::new(SplitPicker::new(parts, part_of, self.affinity))
    }
}

impl<F, T: fmt::Debug> fmt::Debug for Priorities<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Priorities")
            .field("strategies", &self.strategies)
            .field("over_provisioning", &self.over_provisioning)
            .field("panic", &self.panic)
            .finish_non_exhaustive()
    }
}
