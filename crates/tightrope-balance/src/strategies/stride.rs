//! Weighted turns without a table.

use std::sync::atomic::{AtomicU64, Ordering};

/// The weight that would never be skipped.
const FULL: u64 = u16::MAX as u64;

/// Takes positions in turn and skips each as often as its weight asks for: the shares are exact
/// over 65,535 rounds, with no more memory than the weights themselves.
///
/// For weights whose schedule would be too long. Less smooth than a schedule and a little slower:
/// it looks at `largest / mean weight` positions a pick, on average. Source: the static stride
/// scheduler of gRPC (proposal A58, "client-side weighted round robin").
#[derive(Debug)]
pub(crate) struct Stride {
    /// Scaled so that the largest is [`FULL`].
    weights: Box<[u16]>,
}

impl Stride {
    /// Over these weights; `None` if all are 0.
    pub(crate) fn new(weights: &[u32]) -> Option<Self> {
        let largest = u64::from(*weights.iter().max()?);
        let scaled = |&weight: &u32| {
            let scaled = (u64::from(weight) * FULL).checked_div(largest)?;
            // A weight that is not 0 keeps some share.
            let scaled = scaled.max(u64::from(weight > 0));
            u16::try_from(scaled).ok()
        };
        weights
            .iter()
            .map(scaled)
            .collect::<Option<_>>()
            .map(|weights| Self { weights })
    }

    /// The next position.
    pub(crate) fn next(&self, ticket: &AtomicU64) -> usize {
        let count = self.weights.len() as u64;
        loop {
            let ticket = ticket.fetch_add(1, Ordering::Relaxed);
            let (round, position) = (ticket / count, ticket % count);
            let weight = u64::from(self.weights[position as usize]);
            // Spread over the round, so that light ones are not all due at once.
            let due = (weight.wrapping_mul(round)).wrapping_add(position * (FULL / 2)) % FULL;
            if due >= FULL - weight {
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
        let weights = [65_535, 40_000, 1_000, 0, 65_535];
        let (stride, ticket) = (Stride::new(&weights).unwrap(), AtomicU64::new(0));
        let mut got = [0_u64; 5];
        let picks: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        for _ in 0..picks {
            got[stride.next(&ticket)] += 1;
        }
        for (got, weight) in got.into_iter().zip(weights) {
            assert!(got.abs_diff(u64::from(weight)) <= 1, "{got} for {weight}");
        }
    }

    #[test]
    fn no_weight_at_all_is_no_stride() {
        assert!(Stride::new(&[]).is_none());
        assert!(Stride::new(&[0, 0]).is_none());
    }
}
