//! The Mersenne Twister.

use std::fmt;

/// MT19937 of 32 bits, as `std::mt19937` of C++. 2.5 kB, seeded in about a microsecond.
///
/// Source: M. Matsumoto and T. Nishimura, "Mersenne Twister: a 623-dimensionally equidistributed
/// uniform pseudorandom number generator" (1998), with the seeding of 2002.
pub(super) struct Mersenne {
    state: [u32; WORDS],
    next: usize,
}

const WORDS: usize = 624;
const APART: usize = 397;

impl Mersenne {
    pub(super) fn new(seed: u32) -> Self {
        let (mut state, mut word) = ([0; WORDS], seed);
        for (entry, n) in state.iter_mut().zip(1..) {
            *entry = word;
            word = (word ^ (word >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(n);
        }
        Self { state, next: 0 }
    }

    pub(super) fn next(&mut self) -> u32 {
        let (this, following) = (self.next, (self.next + 1) % WORDS);
        let joined = (self.state[this] & 0x8000_0000) | (self.state[following] & 0x7fff_ffff);
        let twist = if joined.is_multiple_of(2) {
            0
        } else {
            0x9908_b0df
        };
        let word = self.state[(this + APART) % WORDS] ^ (joined >> 1) ^ twist;
        self.state[this] = word;
        self.next = following;
        let word = word ^ (word >> 11);
        let word = word ^ ((word << 7) & 0x9d2c_5680);
        let word = word ^ ((word << 15) & 0xefc6_0000);
        word ^ (word >> 18)
    }

    /// A number below `bound`, which is above 0, in the way of Envoy.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let divisor = (1_u64 << 32) / u64::from(bound);
        loop {
            let number = u64::from(self.next()) / divisor;
            if number < u64::from(bound) {
                return number as u32;
            }
        }
    }
}

impl fmt::Debug for Mersenne {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mersenne").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_thousandth_number_is_that_of_the_standard() {
        // C++ [rand.predef]: of a default-constructed std::mt19937, whose seed is 5489.
        let mut random = Mersenne::new(5_489);
        assert_eq!(random.next(), 3_499_211_612);
        for _ in 0..9_998 {
            random.next();
        }
        assert_eq!(random.next(), 4_123_659_995);
    }
}
