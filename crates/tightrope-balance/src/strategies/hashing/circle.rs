//! The ring of [`RingHash`](super::RingHash), made from the one before it where little has changed.

use super::{
    membership::Candidate,
    mix,
    ring::{Ring, points},
};

/// Who has points, and the ring of them.
#[derive(Debug)]
pub(super) struct Circle {
    pub(super) ring: Ring<u32>,
    /// By seed, so that the order of configuration does not decide who owns an equal point.
    owners: Box<[Owner]>,
}

/// A member and how many points it has, which follow from its seed.
#[derive(Clone, Copy, Debug)]
struct Owner {
    seed: u64,
    index: u32,
    points: u64,
}

/// A point that was not there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Added {
    point: u32,
    seed: u64,
    index: u32,
}

/// The most points of a ring.
const MOST: u64 = 1 << 21;

/// To merge pays off while no more than this part of the points comes or goes.
const PART: u64 = 8;

/// In place of the new index of who left.
const GONE: u32 = u32::MAX;

// === impl Circle ===

impl Circle {
    /// With `each` points for a unit of weight; like the one `before`, if there is one, but for what
    /// has changed since.
    pub(super) fn new(candidates: &[Candidate], each: u32, before: Option<&Self>) -> Self {
        let weights = candidates.iter().map(|(_, identity)| identity.weight);
        let total = weights.map(u64::from).sum();
        let owner = |&(index, identity): &Candidate| Owner {
            seed: identity.seed,
            index,
            points: points(identity.weight, each, total, MOST),
        };
        let mut owners: Box<[Owner]> = candidates.iter().map(owner).collect();
        owners.sort_unstable_by_key(|owner| (owner.seed, owner.index));
        let merged = before.and_then(|before| before.merged(&owners));
        let ring = merged.unwrap_or_else(|| {
            let all = (0..).zip(&owners).flat_map(|(rank, owner)| {
                let points = owner.points();
                points.map(move |point| (point, rank))
            });
            Ring::with_equals(&all.collect::<Vec<_>>())
                .owned_by(|rank: u32| owners[rank as usize].index)
        });
        Self { ring, owners }
    }

    /// The ring of `owners` from this one; `None` where it had better be made anew.
    fn merged(&self, owners: &[Owner]) -> Option<Ring<u32>> {
        let are_distinct =
            |owners: &[Owner]| owners.windows(2).all(|two| two[0].seed < two[1].seed);
        if !are_distinct(&self.owners) || !are_distinct(owners) {
            return None;
        }
        let last = self.owners.iter().map(|owner| owner.index).max()?;
        let mut moved = vec![GONE; last as usize + 1];
        let most = self.ring.points().len() as u64 / PART;
        let (mut added, mut changed, mut former) = (Vec::new(), 0, &*self.owners);
        for owner in owners {
            let left = former.partition_point(|former| former.seed < owner.seed);
            changed += count(&former[..left]);
            former = &former[left..];
            match former.split_first() {
                Some((same, rest)) if same.seed == owner.seed => {
                    former = rest;
                    if same.points == owner.points {
                        moved[same.index as usize] = owner.index;
                        continue;
                    }
                    changed += same.points;
                }
                _ => {}
            }
            changed += owner.points;
            if changed > most {
                return None;
            }
            added.extend(owner.points().map(|point| Added {
                point,
                seed: owner.seed,
                index: owner.index,
            }));
        }
        changed += count(former);
        if changed > most {
            return None;
        }
        added.sort_unstable();
        let seed_of = |index| owners.iter().find(|owner| owner.index == index);
        let seed_of = |index| seed_of(index).map_or(0, |owner| owner.seed);
        Some(Ring::of_sorted(merge(
            self.ring.points(),
            &moved,
            &added,
            seed_of,
        )))
    }
}

impl Owner {
    fn points(self) -> impl Iterator<Item = u32> {
        (1..=self.points).map(move |n| (mix::nth(self.seed, n) >> 32) as u32)
    }
}

fn count(owners: &[Owner]) -> u64 {
    owners.iter().map(|owner| owner.points).sum()
}

/// Points with those `added`, sorted by point and seed; without those whose owner is gone.
/// `moved` has the index of each former index now.
fn merge(
    points: &[(u32, u32)],
    moved: &[u32],
    added: &[Added],
    seed_of: impl Fn(u32) -> u64,
) -> Vec<(u32, u32)> {
    let mut merged = Vec::with_capacity(points.len() + added.len());
    let mut added = added.iter().copied().peekable();
    for &(point, former) in points {
        let index = moved[former as usize];
        if index == GONE {
            continue;
        }
        let is_before =
            |new: &Added| new.point < point || new.point == point && new.seed < seed_of(index);
        while let Some(new) = added.next_if(is_before) {
            merged.push((new.point, new.index));
        }
        merged.push((point, index));
    }
    merged.extend(added.map(|new| (new.point, new.index)));
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The seed of a member by its index now, in another order than the indices.
    fn seed_of(index: u32) -> u64 {
        u64::from(index * 7 % 11)
    }

    proptest! {
        #[test]
        fn what_is_merged_is_what_would_be_sorted(
            // Few enough points that many are equal; indices before, from 0 to 5.
            kept in prop::collection::vec((0..40_u32, 0..6_u32), 0..60),
            added in prop::collection::vec((0..40_u32, 6..9_u32), 0..20),
            gone in 0..6_u32,
        ) {
            let moved: Vec<u32> = (0..6).map(|former| match former {
                former if former == gone => GONE,
                former if former > gone => former - 1,
                former => former,
            }).collect();
            let seed_before = |former: u32| match moved[former as usize] {
                GONE => 100,
                now => seed_of(now),
            };
            let mut before = kept;
            before.sort_unstable_by_key(|&(point, former)| (point, seed_before(former)));
            let mut added: Vec<Added> = added
                .into_iter()
                .map(|(point, index)| Added { point, seed: seed_of(index), index })
                .collect();
            added.sort_unstable();

            let stayed = before.iter().filter(|&&(_, former)| former != gone);
            let mut expected: Vec<(u32, u32)> = stayed
                .map(|&(point, former)| (point, moved[former as usize]))
                .chain(added.iter().map(|new| (new.point, new.index)))
                .collect();
            expected.sort_unstable_by_key(|&(point, index)| (point, seed_of(index)));
            prop_assert_eq!(merge(&before, &moved, &added, seed_of), expected);
        }
    }
}
