//! Envoy's `ring_hash`.

use std::{fmt::Write, sync::Arc};

use tightrope_upstream::Snapshot;
use xxhash_rust::xxh64::xxh64;

use super::{
    murmur::murmur2,
    picker::{Hosts, build},
};
use crate::{
    Picker, Strategy,
    strategies::hashing::{Ring, Table},
};

/// Envoy's `ring_hash`: to the next point on a circle on which every endpoint has points by its
/// weight.
///
/// A request without a key goes to a random point. A retry goes to the next point, as Envoy does
/// with the retry host predicate `previous_hosts`. One hash and two looks a pick; 17 bytes a point
/// and 16 bytes an endpoint. The ring is built anew whenever somebody becomes available or
/// unavailable. With Envoy's default of 1,024 points shares are uneven for more than a few
/// endpoints.
///
/// Source: `ring_hash` of Envoy 1.40.0.
#[derive(Clone, Copy, Debug)]
pub struct RingHash {
    function: HashFunction,
    least: u32,
    most: u32,
    balance_factor: Option<u32>,
}

/// How the points of the endpoints are hashed. Request keys are hashed with xxHash64 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashFunction {
    /// `XX_HASH`, Envoy's default: xxHash64.
    #[default]
    XxHash,
    /// `MURMUR_HASH_2`: MurmurHash2 in its form of 64 bits, as in libstdc++.
    Murmur2,
}

/// The most points that Envoy allows.
const MOST: u32 = 8_388_608;

// === impl RingHash ===

impl RingHash {
    /// With Envoy's defaults: xxHash64, 1,024 to 8,388,608 points, no bound on load.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            function: HashFunction::XxHash,
            least: 1_024,
            most: MOST,
            balance_factor: None,
        }
    }

    /// Envoy's `hash_function`.
    #[must_use]
    pub const fn with_hash_function(mut self, function: HashFunction) -> Self {
        self.function = function;
        self
    }

    /// Envoy's `minimum_ring_size`; more than 8,388,608 counts as that.
    #[must_use]
    pub fn with_minimum_ring_size(mut self, points: u32) -> Self {
        self.least = points.min(MOST);
        self
    }

    /// Envoy's `maximum_ring_size`; more than 8,388,608 counts as that. It wins over a minimum
    /// that is larger, which Envoy refuses.
    #[must_use]
    pub fn with_maximum_ring_size(mut self, points: u32) -> Self {
        self.most = points.min(MOST);
        self
    }

    /// Envoy's `hash_balance_factor`, in percent: an endpoint that has more in flight than this
    /// much of its share is passed over. Less than 100 counts as 100.
    ///
    /// A busy endpoint costs a look at all of them.
    #[must_use]
    pub fn with_hash_balance_factor(mut self, percent: u32) -> Self {
        self.balance_factor = Some(percent.max(100));
        self
    }

    fn ring(&self, hosts: &Hosts) -> Ring<u64> {
        let (least, most) = (f64::from(self.least), f64::from(self.most));
        let lightest = hosts.weights().fold(1.0, f64::min);
        // The smallest ring on which the lightest has a whole number of points.
        let scale = ((lightest * least).ceil() / lightest).min(most);
        let mut points = Vec::with_capacity(scale as usize + 1);
        let mut target = 0.0;
        for ((key, weight), host) in hosts.keys().zip(hosts.weights()).zip(0..) {
            // The fractions that are left over add up to points of later hosts.
            target += scale * weight;
            let mut text = format!("{key}_");
            let prefix = text.len();
            for number in 0_u32.. {
                if points.len() as f64 >= target {
                    break;
                }
                text.truncate(prefix);
                // Writing to a string cannot fail.
                let _ = write!(text, "{number}");
                points.push((self.function.hash(text.as_bytes()), host));
            }
        }
        Ring::new(&points)
    }
}

impl Default for RingHash {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for RingHash {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        build(snapshot, self.balance_factor, |hosts| self.ring(hosts))
    }
}

// === impl HashFunction ===

impl HashFunction {
    fn hash(self, bytes: &[u8]) -> u64 {
        match self {
            Self::XxHash => xxh64(bytes, 0),
            Self::Murmur2 => murmur2(bytes, 0xc70f_6907),
        }
    }
}

impl Table for Ring<u64> {
    fn route(&self, hash: u64) -> impl Iterator<Item = usize> {
        let place = self.at_or_after(hash);
        self.from(place).map(|(_, host)| host as usize)
    }
}
