//! Chance, injected.

use std::fmt;

use rand::{
    Rng, RngExt, SeedableRng, TryRng,
    rngs::{SysRng, Xoshiro256PlusPlus},
};

/// A source of chance for pickers. The same seed gives the same numbers, on every machine.
///
/// Each clone of a [`Balance`](crate::Balance) has its own, so drawing needs no lock and no shared
/// counter. A clone draws the same numbers. It is not fit for secrets. Source: xoshiro256++ by Blackman and Vigna.
#[derive(Clone)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// Draws from `seed`.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Draws from a seed that the system gives.
    #[must_use]
    pub fn from_os() -> Self {
        Self::from_seed(Self::seed())
    }

    /// A seed that nobody can foresee; a fixed one where the system has no chance to give.
    pub(crate) fn seed() -> u64 {
        SysRng.try_next_u64().unwrap_or_default()
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, each as likely as the others; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.0.random_range(..bound)
        }
    }

    /// A number from 0 up to, but not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An index below `bound`; 0 where `bound` is 0.
    pub(crate) fn index(&mut self, bound: usize) -> usize {
        if bound == 0 {
            0
        } else {
            self.0.random_range(..bound)
        }
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}
