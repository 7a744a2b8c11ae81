//! Weighted turns without a table.

use std::sync::atomic::{AtomicU64, Ordering};

/// Takes positions in turn and skips each as often as its weight asks for: the shares are exact
/// over as many rounds as the largest weight, with no more memory than the weights themselves.
///
/// For weights whose schedule would be too long. Less smooth than a schedule and slower: it looks
/// at `largest / mean weight` positions a pick, on average. Source: the static stride scheduler of
/// gRPC (proposal A58, "client-side weighted round robin"), without its scaling of weights.
#[derive(Debug)]
pub(crate) struct Stride {
    weights: Box<[u32]>,
    /// The weight that is never skipped.
    largest: u64,
}

impl Stride {
    /// Over these weights; `None` if all are 0.
    pub(crate) fn new(weights: &[u32]) -> Option<Self> {
        let largest = weights
            .iter()
            .copied()
            .max()
            .filter(|&largest| largest > 0)?;
        Some(Self {
            weights: weights.into(),
            largest: largest.into(),
        })
    }

    /// The next position.
    pub(crate) fn next(&self, ticket: &AtomicU64) -> usize {
        let (count, largest) = (self.weights.len() as u64, self.largest);
        loop {
            // Relaxed: the turn orders nothing but itself.
            let ticket = ticket.fetch_add(1, Ordering::Relaxed);
            let (round, position) = (ticket / count % largest, ticket % count);
            let weight = u64::from(self.weights[position as usize]);
            // Spread over the round, so that light ones are not all due at once.
            let due = (weight * round + position * (largest / 2)) % largest;
            if due >= largest - weight {
                return position as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_follows_weight() {
        for weights in [
            vec![65_535, 40_000, 1_000, 0, 65_535],
            vec![3, 1, 2],
            vec![64_000, 1, 1, 0, 1],
            vec![1; 7],
        ] {
            let (stride, ticket) = (Stride::new(&weights).unwrap(), AtomicU64::new(0));
            let mut got = vec![0; weights.len()];
            for _ in 0..weights.iter().sum() {
                got[stride.next(&ticket)] += 1;
            }
            assert_eq!(got, weights);
        }
    }

    #[test]
    fn no_weight_at_all_is_no_stride() {
        assert!(Stride::new(&[]).is_none());
        assert!(Stride::new(&[0, 0]).is_none());
    }
}
