//! Who has room for one more request under a bound on load.

use tightrope_upstream::Snapshot;

/// How much of the traffic each may have in flight at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    percent: u64,
    /// The sum of the weights of those who are available.
    weight: u64,
}

/// The room that is left during one pick.
pub(super) struct Room<'s> {
    snapshot: &'s Snapshot,
    limit: Limit,
    /// How many of the available are counted, and what these have in flight.
    counted: usize,
    in_flight: u64,
}

impl Limit {
    /// `percent` of what each would have in flight if all were loaded evenly by weight.
    pub(super) fn new(percent: u32, snapshot: &Snapshot) -> Self {
        let available = snapshot.available().iter();
        let weights = available.map(|&index| snapshot.members()[index as usize].weight().get());
        Self {
            percent: percent.into(),
            weight: weights.map(u64::from).sum(),
        }
    }

    pub(super) const fn room<'s>(&self, snapshot: &'s Snapshot) -> Room<'s> {
        Room {
            snapshot,
            limit: *self,
            counted: 0,
            in_flight: 0,
        }
    }
}

impl Room<'_> {
    /// Whether a member that is available may take one more request.
    ///
    /// It may have `ceil(percent / 100 * (all in flight + 1) * weight / all weights)`. Others are
    /// counted only until it is clear that it may, so an idle one costs a single look.
    pub(super) fn is_left(&mut self, index: usize) -> bool {
        let members = self.snapshot.members();
        let member = &members[index];
        let own = member.record().in_flight() as u64;
        if own == 0 {
            return true;
        }
        // A whole number is below the ceiling if it is below the fraction.
        let needed = u128::from(own) * u128::from(self.limit.weight) * 100;
        let share = u128::from(self.limit.percent) * u128::from(member.weight().get());
        let mut uncounted = self.snapshot.available()[self.counted..].iter();
        loop {
            if needed < share * u128::from(self.in_flight + 1) {
                return true;
            }
            let Some(&next) = uncounted.next() else {
                return false;
            };
            self.counted += 1;
            self.in_flight += members[next as usize].record().in_flight() as u64;
        }
    }
}
