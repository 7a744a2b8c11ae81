//! HAProxy's `hash-type`.

use super::function::{Function, avalanche};

/// HAProxy's `hash-type`: how a key becomes a hash, and a hash a server.
///
/// ```
/// use tightrope_balance::haproxy::{Function, HashType, KeyHash};
///
/// // hash-type consistent djb2 avalanche
/// let hash_type = HashType::consistent()
///     .with_function(Function::Djb2)
///     .with_avalanche();
/// let strategy = KeyHash::new(hash_type);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct HashType {
    pub(super) method: Method,
    function: Function,
    avalanche: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Method {
    MapBased,
    Consistent,
}

impl HashType {
    /// `map-based`, HAProxy's default: the hash counts through a list of those who are available.
    /// Even, but when one becomes unavailable most clients move.
    #[must_use]
    pub const fn map_based() -> Self {
        Self {
            method: Method::MapBased,
            function: Function::Sdbm,
            avalanche: false,
        }
    }

    /// `consistent`: the nearest point on a circle, before or behind. When a server becomes
    /// unavailable only its clients move. As in HAProxy, this alone implies `avalanche`.
    #[must_use]
    pub const fn consistent() -> Self {
        Self {
            method: Method::Consistent,
            function: Function::Sdbm,
            avalanche: true,
        }
    }

    /// Names the hash function of keys, which as in HAProxy drops an `avalanche` that was only
    /// implied.
    #[must_use]
    pub const fn with_function(mut self, function: Function) -> Self {
        self.function = function;
        self.avalanche = false;
        self
    }

    /// The modifier `avalanche`: mixes the bits of every hash once more.
    #[must_use]
    pub const fn with_avalanche(mut self) -> Self {
        self.avalanche = true;
        self
    }

    pub(super) fn of_key(self, key: &[u8]) -> u32 {
        self.of_number(self.function.hash(key))
    }

    pub(super) const fn of_number(self, number: u32) -> u32 {
        if self.avalanche {
            avalanche(number)
        } else {
            number
        }
    }
}

impl Default for HashType {
    fn default() -> Self {
        Self::map_based()
    }
}
