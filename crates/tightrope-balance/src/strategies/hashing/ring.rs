//! Points on a circle, each of which owns the arc before it.

use std::fmt;

/// Where a point lies on the circle: a hash of 32 or 64 bits.
pub(in crate::strategies) trait Point:
    Copy + Ord + fmt::Debug + Send + Sync + 'static
{
    const BITS: u32;

    /// Its highest bits, as many as asked for: from 1 to [`BITS`](Self::BITS).
    fn top(self, bits: u32) -> usize;
}

/// Points and their owners, sorted, with an index that makes finding one a matter of two looks.
#[derive(Debug)]
pub(in crate::strategies) struct Ring<P> {
    points: Box<[(P, u32)]>,
    /// Where the points with each value of the highest bits start, and where the last of them end.
    starts: Box<[u32]>,
    bits: u32,
}

impl<P: Point> Ring<P> {
    /// The points and their owners; of equal points the one with the least owner is kept.
    ///
    /// Takes linear time where the points are spread evenly, as hashes are.
    pub(in crate::strategies) fn new(points: &[(P, u32)]) -> Self {
        let mut sorted = Self::sorted(points);
        sorted.dedup_by_key(|(point, _)| *point);
        Self::of_sorted(sorted)
    }

    /// The same, where all are kept; the one with the least owner is the first of equal points.
    pub(in crate::strategies) fn with_equals(points: &[(P, u32)]) -> Self {
        Self::of_sorted(Self::sorted(points))
    }

    /// Points in order. The first of equal points is the one that is found.
    pub(in crate::strategies) fn of_sorted(points: Vec<(P, u32)>) -> Self {
        let bits = Self::bits(&points);
        Self {
            starts: index(&points, bits),
            points: points.into_boxed_slice(),
            bits,
        }
    }

    /// How many bits there are in the index: about four points for each entry.
    fn bits(points: &[(P, u32)]) -> u32 {
        (points.len() / 4).max(2).ilog2().min(P::BITS)
    }

    fn sorted(points: &[(P, u32)]) -> Vec<(P, u32)> {
        let bits = Self::bits(points);
        let starts = index(points, bits);
        let (mut sorted, mut next) = (points.to_vec(), starts.clone());
        for entry in points {
            let place = &mut next[entry.0.top(bits)];
            sorted[*place as usize] = *entry;
            *place += 1;
        }
        for range in starts.windows(2) {
            sorted[range[0] as usize..range[1] as usize].sort_unstable();
        }
        sorted
    }

    /// The same points, where `owner` says who owns those of each former owner.
    pub(in crate::strategies) fn owned_by(mut self, owner: impl Fn(u32) -> u32) -> Self {
        for (_, former) in &mut self.points {
            *former = owner(*former);
        }
        self
    }

    /// The place of the first point at or after `hash`, going round; 0 where there are no points.
    pub(in crate::strategies) fn at_or_after(&self, hash: P) -> usize {
        let top = hash.top(self.bits);
        let (start, end) = (self.starts[top] as usize, self.starts[top + 1] as usize);
        let place = start + self.points[start..end].partition_point(|&(point, _)| point < hash);
        if place < self.points.len() { place } else { 0 }
    }

    /// The points from `place` on, once round.
    pub(in crate::strategies) fn from(&self, place: usize) -> impl Iterator<Item = (P, u32)> {
        let (before, after) = self.points.split_at(place);
        after.iter().chain(before).copied()
    }

    pub(in crate::strategies) const fn points(&self) -> &[(P, u32)] {
        &self.points
    }
}

/// Where the points with each value of the highest `bits` start once they are sorted by them.
fn index<P: Point>(points: &[(P, u32)], bits: u32) -> Box<[u32]> {
    let mut starts = vec![0; (1 << bits) + 1].into_boxed_slice();
    for (point, _) in points {
        starts[point.top(bits) + 1] += 1;
    }
    let mut start = 0;
    for entry in &mut starts {
        start += *entry;
        *entry = start;
    }
    starts
}

impl<P: Point> Default for Ring<P> {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Point for u32 {
    const BITS: Self = Self::BITS;

    fn top(self, bits: u32) -> usize {
        (self >> (Self::BITS - bits)) as usize
    }
}

impl Point for u64 {
    const BITS: u32 = Self::BITS;

    fn top(self, bits: u32) -> usize {
        (self >> (Self::BITS - bits)) as usize
    }
}

/// How many points an endpoint of weight `weight` gets if those of weight 1 get `each`, and
/// the points of all of them, whose weights sum up to `total`, are to be at most `most`. Never none.
pub(in crate::strategies) fn points(weight: u32, each: u32, total: u64, most: u64) -> u64 {
    let wanted = u64::from(weight) * u64::from(each);
    let all = total * u64::from(each);
    if all <= most {
        wanted
    } else {
        (u128::from(wanted) * u128::from(most) / u128::from(all)).max(1) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_index_finds_what_a_search_finds(
            points in prop::collection::vec(any::<u32>(), 0..300),
            hash in any::<u32>(),
        ) {
            let ring = Ring::new(&points.iter().map(|&point| (point, 0)).collect::<Vec<_>>());
            let mut hashes: Vec<u32> = vec![0, 1, hash, u32::MAX];
            hashes.extend(points.iter().flat_map(|&p| [p, p.wrapping_add(1), p.wrapping_sub(1)]));
            for hash in hashes {
                let place = ring.points().partition_point(|&(point, _)| point < hash);
                let expected = if place < ring.points().len() { place } else { 0 };
                prop_assert_eq!(ring.at_or_after(hash), expected);
            }
        }
    }

    #[test]
    fn of_equal_points_the_least_owner_counts() {
        let ring = Ring::new(&[(7_u64, 2), (7, 1), (3, 2)]);
        assert_eq!(ring.points(), [(3, 2), (7, 1)]);
    }

    #[test]
    fn points_are_bounded() {
        assert_eq!(points(3, 160, 10, 1 << 22), 480);
        assert_eq!(points(1, 160, 1 << 40, 1 << 22), 1);
        assert_eq!(points(65_535, 160, 65_535 * 1_000, 1 << 22), 4_194);
    }
}
