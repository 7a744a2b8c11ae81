//! Draws by weight in constant time.

use crate::Random;

/// A table that draws positions in proportion to whole-numbered weights, in constant time, from one
/// random number.
///
/// Source: A. J. Walker's alias method in the form of M. D. Vose, "A linear algorithm for
/// generating random numbers with a given distribution" (1991), worked out with integers. Shares
/// are right to one part in 2^32 at the least. 16 bytes a position where weights differ and none
/// where they are equal, built in linear time.
#[derive(Debug)]
pub(crate) struct Alias {
    count: u64,
    /// Empty if all weights are equal.
    columns: Box<[Column]>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// Below this the column's own position is drawn, out of 2^64.
    own: u64,
    other: u32,
}

impl Alias {
    /// Over these weights; `None` if their sum is 0.
    pub(crate) fn new(weights: impl ExactSizeIterator<Item = u32>) -> Option<Self> {
        let count = weights.len() as u64;
        // Each column holds `total`; each position brings `weight * count`: the sums agree.
        let mut total = 0;
        let mut left: Vec<u64> = weights
            .map(|weight| {
                total += u64::from(weight);
                u64::from(weight) * count
            })
            .collect();
        if total == 0 {
            return None;
        }
        if left.iter().all(|&left| left == total) {
            let columns = Box::default();
            return Some(Self { count, columns });
        }
        let mut columns: Vec<Column> = (0..)
            .take(left.len())
            .map(|position| Column {
                own: u64::MAX,
                other: position,
            })
            .collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..)
            .take(left.len())
            .partition(|&p| left[p as usize] < total);
        while let (Some(lacking), Some(&giving)) = (small.pop(), large.last()) {
            let own = left[lacking as usize];
            columns[lacking as usize] = Column {
                own: ((u128::from(own) << 64) / u128::from(total)) as u64,
                other: giving,
            };
            let rest = &mut left[giving as usize];
            *rest -= total - own;
            if *rest < total {
                large.pop();
                small.push(giving);
            }
        }
        Some(Self {
            count,
            columns: columns.into(),
        })
    }

    /// A position.
    #[inline]
    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        // The whole part of a random number below `count`, and its fraction in 2^-64.
        let drawn = u128::from(random.next_u64()) * u128::from(self.count);
        let (position, fraction) = ((drawn >> 64) as usize, drawn as u64);
        match self.columns.get(position) {
            Some(column) if fraction >= column.own => column.other as usize,
            _ => position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each position is drawn with.
    fn shares(table: &Alias) -> Vec<f64> {
        let mut mass = vec![0.0; table.count as usize];
        if table.columns.is_empty() {
            mass.fill(1.0);
        }
        for (position, column) in table.columns.iter().enumerate() {
            let own = column.own as f64 / 2_f64.powi(64);
            mass[position] += own;
            mass[column.other as usize] += 1.0 - own;
        }
        mass
    }

    #[test]
    fn shares_follow_weights() {
        for weights in [
            vec![1],
            vec![5, 1, 1],
            vec![0, 7, 3, 0, 2],
            vec![1; 10],
            vec![65_535, 1],
        ] {
            let table = Alias::new(weights.iter().copied()).unwrap();
            let mean = f64::from(weights.iter().sum::<u32>()) / weights.len() as f64;
            for (share, &weight) in shares(&table).iter().zip(&weights) {
                let expected = f64::from(weight) / mean;
                assert!((share - expected).abs() < 1e-9, "{weights:?}: {share}");
            }
        }
    }

    #[test]
    fn draws_reach_every_position() {
        let mut random = Random::from_seed(1);
        for weights in [vec![1; 7], vec![9, 1, 1, 1, 1, 1, 1]] {
            let table = Alias::new(weights.iter().copied()).unwrap();
            let mut drawn = vec![false; 7];
            for _ in 0..1000 {
                drawn[table.draw(&mut random)] = true;
            }
            assert_eq!(drawn, [true; 7], "{weights:?}");
        }
    }

    #[test]
    fn no_weight_at_all_is_no_table() {
        assert!(Alias::new([0, 0].into_iter()).is_none());
        assert!(Alias::new([].into_iter()).is_none());
    }
}
