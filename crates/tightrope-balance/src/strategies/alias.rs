//! Draws by weight in constant time.

use crate::Random;

/// A table that draws positions in proportion to whole-numbered weights, exactly, in constant time.
///
/// Source: A. J. Walker's alias method in the form of M. D. Vose, "A linear algorithm for
/// generating random numbers with a given distribution" (1991), with integers throughout. 16 bytes
/// a position, built in linear time.
#[derive(Debug)]
pub(crate) struct Alias {
    total: u64,
    columns: Box<[Column]>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// Below this the column's own position is drawn, out of `total`.
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
        let mut columns: Vec<Column> = (0..)
            .zip(&left)
            .map(|(position, _)| Column {
                own: total,
                other: position,
            })
            .collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..)
            .take(left.len())
            .partition(|&p| left[p as usize] < total);
        while let (Some(lacking), Some(&giving)) = (small.pop(), large.last()) {
            let own = left[lacking as usize];
            columns[lacking as usize] = Column { own, other: giving };
            let rest = &mut left[giving as usize];
            *rest -= total - own;
            if *rest < total {
                large.pop();
                small.push(giving);
            }
        }
        Some(Self {
            total,
            columns: columns.into(),
        })
    }

    /// A position.
    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let position = random.index(self.columns.len());
        let column = self.columns[position];
        if random.below(self.total) < column.own {
            position
        } else {
            column.other as usize
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_over_all_columns() {
        for weights in [
            vec![1],
            vec![5, 1, 1],
            vec![0, 7, 3, 0, 2],
            vec![1; 10],
            vec![65_535, 1],
        ] {
            let table = Alias::new(weights.iter().copied()).unwrap();
            let mut mass = vec![0; weights.len()];
            for (position, column) in table.columns.iter().enumerate() {
                mass[position] += column.own;
                mass[column.other as usize] += table.total - column.own;
            }
            let expected: Vec<u64> = weights
                .iter()
                .map(|&weight| u64::from(weight) * weights.len() as u64)
                .collect();
            assert_eq!(mass, expected, "{weights:?}");
        }
    }

    #[test]
    fn no_weight_at_all_is_no_table() {
        assert!(Alias::new([0, 0].into_iter()).is_none());
        assert!(Alias::new([].into_iter()).is_none());
    }
}
