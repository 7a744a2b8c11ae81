//! Integer mixing.

/// Spreads every bit of `x` over all others; no two numbers mix to the same one.
///
/// Source: the finalizer of splitmix64, after G. Steele, D. Lea, C. Flood, "Fast splittable
/// pseudorandom number generators" (2014), variant 13 of D. Stafford.
pub(super) const fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(STEP);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The `n`-th number that follows from `seed`.
pub(super) const fn nth(seed: u64, n: u64) -> u64 {
    mix(seed.wrapping_add(n.wrapping_mul(STEP)))
}

/// Maps a hash evenly to `0..bound`; 0 where `bound` is 0.
///
/// Source: D. Lemire, "Fast random integer generation in an interval" (2019), without rejection.
pub(super) const fn reduce(hash: u64, bound: u64) -> u64 {
    ((hash as u128 * bound as u128) >> 64) as u64
}

/// 2^64 over the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
