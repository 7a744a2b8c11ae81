//! How the table of Maglev hashing is filled.

use std::{cmp::Reverse, collections::BinaryHeap};

/// How one owner takes slots: from `offset` on, every `skip`-th that is free.
pub(in crate::strategies) struct Seat {
    /// Below the number of slots.
    pub(in crate::strategies) offset: u32,
    /// At least 1, and below the number of slots.
    pub(in crate::strategies) skip: u32,
    /// Above 0.
    pub(in crate::strategies) weight: f64,
}

/// Owners of the same weight, whose turns come in the same rounds.
struct Peers {
    weight: f64,
    /// What `round * weight` must reach for the next turn.
    target: f64,
    /// Positions in the seats, in order.
    seats: Vec<u32>,
}

/// Which slots nobody took yet, a bit each: small enough to stay close while it is searched.
struct Free(Box<[u64]>);

/// The owner of each of `slots` slots, as a position in `seats`; empty where there are no seats.
///
/// `slots` is prime, so that every skip reaches every slot. In each round those whose turn it is
/// take one slot each, in order. The heaviest has a turn in every round, and the `k`-th turn of
/// another comes in the first round `r` with `r * weight >= (k - 1) * heaviest`: everybody takes
/// one in the first round. The rounds are those of Envoy; here nobody looks at the ones without a
/// turn, so the time does not depend on how unequal weights are.
pub(in crate::strategies) fn fill(seats: &[Seat], slots: u32) -> Box<[u32]> {
    if seats.is_empty() {
        return Box::default();
    }
    let mut peers = Peers::of(seats);
    let heaviest = peers.last().map_or(0.0, |peers| peers.weight);
    let mut turns: BinaryHeap<Reverse<(u64, usize)>> =
        (0..peers.len()).map(|group| Reverse((1, group))).collect();
    let mut next: Vec<u32> = seats.iter().map(|seat| seat.offset).collect();
    let mut free = Free::all(slots);
    let mut table = vec![0; slots as usize].into_boxed_slice();
    let (mut left, mut due_now) = (slots, Vec::new());
    while let Some(&Reverse((round, _))) = turns.peek() {
        due_now.clear();
        while let Some(mut turn) = turns.peek_mut()
            && turn.0.0 == round
        {
            let peers = &mut peers[turn.0.1];
            due_now.extend_from_slice(&peers.seats);
            peers.target += heaviest;
            turn.0.0 = due(peers.target, peers.weight, round);
        }
        // In order already but for who weighs something else.
        due_now.sort();
        for &owner in &due_now {
            if left == 0 {
                return table;
            }
            let (slot, skip) = (&mut next[owner as usize], seats[owner as usize].skip);
            while !free.take(*slot) {
                *slot = step(*slot, skip, slots);
            }
            table[*slot as usize] = owner;
            left -= 1;
        }
    }
    table
}

impl Peers {
    /// The lightest first.
    fn of(seats: &[Seat]) -> Vec<Self> {
        let weight = |seat: &u32| seats[*seat as usize].weight;
        let mut by_weight: Vec<u32> = (0..).take(seats.len()).collect();
        by_weight.sort_by(|a, b| weight(a).total_cmp(&weight(b)));
        let peers = by_weight.chunk_by(|a, b| weight(a).total_cmp(&weight(b)).is_eq());
        peers
            .map(|seats| Self {
                weight: weight(&seats[0]),
                target: 0.0,
                seats: seats.to_vec(),
            })
            .collect()
    }
}

impl Free {
    fn all(slots: u32) -> Self {
        Self(vec![u64::MAX; slots.div_ceil(64) as usize].into())
    }

    /// Takes `slot`, unless it was taken.
    fn take(&mut self, slot: u32) -> bool {
        let (word, bit) = (&mut self.0[slot as usize / 64], 1 << (slot % 64));
        let is_free = *word & bit != 0;
        *word &= !bit;
        is_free
    }
}

/// The first round after `round` whose number times `weight` reaches `target`.
fn due(target: f64, weight: f64, round: u64) -> u64 {
    // The quotient is rounded: the products decide.
    let mut due = ((target / weight).ceil() as u64).max(round + 1);
    while (due as f64) * weight < target {
        due += 1;
    }
    while due > round + 1 && ((due - 1) as f64) * weight >= target {
        due -= 1;
    }
    due
}

const fn step(slot: u32, skip: u32, slots: u32) -> u32 {
    let left = slots - skip;
    if slot < left {
        slot + skip
    } else {
        slot - left
    }
}

/// The smallest prime number from `size` on, between 3 and 5,000,011: the sizes a table may have.
pub(in crate::strategies) fn prime(size: u32) -> u32 {
    const LARGEST: u32 = 5_000_011;
    let is_prime = |n: &u32| {
        !n.is_multiple_of(2)
            && (3..)
                .step_by(2)
                .take_while(|d| d * d <= *n)
                .all(|d| !n.is_multiple_of(d))
    };
    (size.max(3)..LARGEST).find(is_prime).unwrap_or(LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(weights: &[u32], slots: u32) -> Vec<Seat> {
        let seats = (1..).zip(weights);
        seats
            .map(|(n, &weight)| Seat {
                offset: n * 7919 % slots,
                skip: n * 104_729 % (slots - 1) + 1,
                weight: weight.into(),
            })
            .collect()
    }

    fn count(weights: &[u32], slots: u32) -> Vec<usize> {
        let table = fill(&seats(weights, slots), slots);
        let mut count = vec![0; weights.len()];
        for &owner in &table {
            count[owner as usize] += 1;
        }
        count
    }

    #[test]
    fn one_and_two_share_65537_slots_as_in_envoy() {
        assert_eq!(count(&[1, 2], 65_537), [21_846, 43_691]);
    }

    #[test]
    fn everybody_gets_a_slot_while_there_are_enough() {
        let mut weights = vec![1; 100];
        weights[0] = 65_535;
        let count = count(&weights, 101);
        assert!(count.iter().all(|&slots| slots >= 1), "{count:?}");
    }

    #[test]
    fn more_owners_than_slots_leave_some_without() {
        let count = count(&[1; 20], 7);
        assert_eq!(count.iter().sum::<usize>(), 7);
        assert!(count.iter().all(|&slots| slots <= 1));
    }

    #[test]
    fn sizes_are_prime() {
        let primes = [
            (0, 3),
            (3, 3),
            (4, 5),
            (251, 251),
            (65_536, 65_537),
            (65_537, 65_537),
            (5_000_000, 5_000_011),
            (u32::MAX, 5_000_011),
        ];
        for (size, expected) in primes {
            assert_eq!(prime(size), expected, "{size}");
        }
    }
}
