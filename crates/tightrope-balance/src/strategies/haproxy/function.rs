//! How HAProxy hashes keys.

/// A hash function of HAProxy, over the bytes of a key, to 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Function {
    /// `sdbm`, the default: that of the database library of this name.
    #[default]
    Sdbm,
    /// `djb2`: D. J. Bernstein's.
    Djb2,
    /// `wt6`: W. Tarreau's.
    Wt6,
    /// `crc32`: the CRC-32 of zlib.
    Crc32,
}

impl Function {
    pub(super) fn hash(self, key: &[u8]) -> u32 {
        match self {
            Self::Sdbm => key.iter().fold(0, |hash: u32, &byte| {
                let shifted = (hash << 6).wrapping_add(hash << 16);
                u32::from(byte).wrapping_add(shifted).wrapping_sub(hash)
            }),
            Self::Djb2 => key.iter().fold(5_381, |hash: u32, &byte| {
                hash.wrapping_mul(33).wrapping_add(byte.into())
            }),
            Self::Wt6 => wt6(key),
            Self::Crc32 => crc32fast::hash(key),
        }
    }
}

fn wt6(key: &[u8]) -> u32 {
    let (mut a, mut b) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut by_a, mut by_b) = (6, 18);
    for &byte in key {
        let (x, y) = (!(a ^ u32::from(byte)), !b.wrapping_add(byte.into()));
        (a, b) = (y.rotate_left(by_a), x.rotate_left(by_b));
        let mixed = ((a >> 16) ^ b) & 0xffff;
        (by_a, by_b) = (mixed & 31, mixed >> 11);
    }
    a ^ b
}

/// Spreads every bit over all others; no two numbers become the same one.
///
/// HAProxy's `avalanche`: an integer hash by B. Jenkins, times an odd number.
pub(super) const fn avalanche(a: u32) -> u32 {
    let a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    let a = (a ^ 0xc761_c23c) ^ (a >> 19);
    let a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    let a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    let a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    let a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(3_221_225_473)
}
