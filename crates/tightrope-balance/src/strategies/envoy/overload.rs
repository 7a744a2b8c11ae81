//! Envoy's bound on load.

use super::{mersenne::Mersenne, picker::Hosts};

/// The load of hosts against what they should have, during one pick.
pub(super) struct Overload<'p> {
    hosts: &'p Hosts,
    percent: u32,
    /// What each may have, in total; counted when it is first asked for.
    slots: Option<f64>,
}

/// The most hosts that are tried in Envoy's order; after these the least loaded of all is taken.
const TRIES: usize = 128;

impl<'p> Overload<'p> {
    pub(super) const fn new(hosts: &'p Hosts, percent: u32) -> Self {
        Self {
            hosts,
            percent,
            slots: None,
        }
    }

    /// `first` unless it has more than its share; else the first of a shuffled order that has not,
    /// or the least loaded one. The order depends on the hash alone. Only hosts that `may` be taken.
    pub(super) fn find(&mut self, first: usize, hash: u64, may: impl Fn(usize) -> bool) -> usize {
        let mut least = (first, self.of(first));
        if least.1 <= 1.0 {
            return first;
        }
        let count = self.hosts.len();
        let mut shuffle = Shuffle::new(hash, count);
        for host in shuffle.by_ref().take(TRIES) {
            if host != first && may(host) {
                let overload = self.of(host);
                if overload <= 1.0 {
                    return host;
                }
                if overload < least.1 {
                    least = (host, overload);
                }
            }
        }
        if count > TRIES {
            for host in (0..count).filter(|&host| may(host)) {
                let overload = self.of(host);
                if overload < least.1 {
                    least = (host, overload);
                }
            }
        }
        least.0
    }

    /// What a host has in flight, over what it may have.
    fn of(&mut self, host: usize) -> f64 {
        let active = self.hosts.active(host);
        if active <= 1 {
            // Everybody may have one.
            return active as f64;
        }
        let (hosts, percent) = (self.hosts, self.percent);
        let slots = *self.slots.get_or_insert_with(|| {
            ((hosts.active_in_all() + 1) * u64::from(percent)).div_ceil(100) as f64
        });
        let slots = (slots * hosts.weight(host as u32)).ceil().max(1.0);
        active as f64 / slots
    }
}

/// The numbers below a count, shuffled by Fisher and Yates' method. Only the numbers that are not
/// where they were are kept, so that no list is needed; at most `TRIES` may be taken.
struct Shuffle {
    random: Mersenne,
    count: usize,
    taken: usize,
    moved: [(u32, u32); TRIES],
}

impl Shuffle {
    fn new(hash: u64, count: usize) -> Self {
        Self {
            random: Mersenne::new(hash as u32),
            count,
            taken: 0,
            moved: [(0, 0); TRIES],
        }
    }

    /// The number at `place`: the last one that was moved there.
    fn at(&self, place: usize) -> u32 {
        let moved = self.moved[..self.taken].iter().rev();
        let mut found = moved.filter(|&&(to, _)| to as usize == place);
        found.next().map_or(place as u32, |&(_, number)| number)
    }
}

impl Iterator for Shuffle {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.taken == self.count.min(TRIES) {
            return None;
        }
        let left = (self.count - self.taken) as u32;
        let place = self.taken + self.random.below(left) as usize;
        let (number, displaced) = (self.at(place), self.at(self.taken));
        self.moved[self.taken] = (place as u32, displaced);
        self.taken += 1;
        Some(number as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_takes_what_swapping_in_a_list_takes() {
        for (hash, count) in [(0, 1), (7, 5), (u64::MAX, 128), (1 << 40, 1_000)] {
            let mut random = Mersenne::new(hash as u32);
            let mut list: Vec<usize> = (0..count).collect();
            for place in 0..count.min(TRIES) {
                let other = place + random.below((count - place) as u32) as usize;
                list.swap(place, other);
            }
            let taken: Vec<usize> = Shuffle::new(hash, count).collect();
            assert_eq!(taken, list[..count.min(TRIES)]);
        }
    }
}
