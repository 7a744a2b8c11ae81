//! How busy endpoints were of late.

/// The loads of the last reports, for a quantile of them.
#[derive(Debug, Default)]
pub(super) struct Recent {
    loads: Vec<f32>,
    next: usize,
}

/// The reports that are remembered: some from nearly everybody, and soon replaced.
const REMEMBERED: usize = 128;

impl Recent {
    pub(super) fn add(&mut self, load: f32) {
        if self.loads.len() < REMEMBERED {
            self.loads.push(load);
        } else {
            self.loads[self.next] = load;
            self.next = (self.next + 1) % REMEMBERED;
        }
    }

    /// The smallest load that at least a share `quantile` of them does not exceed; 0 if there are
    /// none.
    pub(super) fn quantile(&self, quantile: f64) -> f32 {
        let mut loads = [0.0; REMEMBERED];
        let loads = &mut loads[..self.loads.len()];
        loads.copy_from_slice(&self.loads);
        let rank = (loads.len() as f64 * quantile).ceil() as usize;
        let rank = rank.clamp(1, loads.len().max(1)) - 1;
        if rank >= loads.len() {
            return 0.0;
        }
        *loads.select_nth_unstable_by(rank, f32::total_cmp).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_last_loads() {
        let mut recent = Recent::default();
        assert!(recent.quantile(0.5) <= 0.0);
        recent.add(7.0);
        for quantile in [0.0, 0.5, 1.0] {
            assert!((recent.quantile(quantile) - 7.0).abs() < f32::EPSILON);
        }
        // The seven and all but the last 128 are forgotten.
        for load in 1..=228_u16 {
            recent.add(f32::from(load));
        }
        for (quantile, load) in [(0.0, 101.0), (0.25, 132.0), (0.5, 164.0), (1.0, 228.0)] {
            let found = recent.quantile(quantile);
            assert!((found - load).abs() < f32::EPSILON, "{found}");
        }
    }
}
