//! What requests are told apart by.

/// Keys of requests, spread over all clients: neighbours would share most of what is hashed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys(u32);

impl Keys {
    /// The key of the next request.
    const fn next(&mut self) -> [u8; 8] {
        self.0 = self.0.wrapping_add(1);
        ((self.0.wrapping_mul(0x9e37_79b1) as u64) << 16 | 7).to_be_bytes()
    }

    /// Picks once for each of so many requests, which have a key if `KEYED`.
    #[inline]
    pub(crate) fn each<const KEYED: bool>(
        &mut self,
        picks: u32,
        mut pick: impl FnMut(Option<&[u8]>),
    ) {
        for _ in 0..picks {
            if KEYED {
                pick(Some(&self.next()));
            } else {
                pick(None);
            }
        }
    }

    /// A hash for the next request, for who takes nothing else.
    #[cfg(feature = "volo")]
    pub(crate) const fn next_hash(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        (self.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
