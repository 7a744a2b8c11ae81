//! By a key of the user's choice.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::{
    HashType,
    picker::{Input, Settings},
};
use crate::{Picker, Strategy};

/// HAProxy's `balance hdr(...)` and the like: requests with the same key stay on an endpoint.
///
/// The key is what [`Context::with_key`](crate::Context::with_key) was given. A request without a
/// key, or with an empty one, goes by turns through the list or round the circle, as in HAProxy.
/// A retry goes on to the next in the list or on the circle.
///
/// One hash and one look a pick, two for `consistent`. `map-based` takes 4 bytes for each unit of
/// weight over the greatest common divisor of all weights, `consistent` 144 bytes for each unit of
/// weight; where that would be more than 262,144 entries or 2,097,152 points the weights are scaled
/// down. Both are built anew whenever somebody becomes available or unavailable. `consistent` knows
/// weights up to 256, HAProxy's largest: more counts as that.
///
/// Source: HAProxy 2.6.12. Where nothing has to match HAProxy, choose [`Maglev`](crate::Maglev).
#[derive(Debug)]
pub struct KeyHash {
    settings: Settings,
}

impl KeyHash {
    /// With this `hash-type`.
    #[must_use]
    pub fn new(hash_type: HashType) -> Self {
        Self {
            settings: Settings::new(hash_type),
        }
    }

    /// HAProxy's `hash-balance-factor`, in percent: who has this much of its share in flight is
    /// passed over for the next on the circle. Less than 100 counts as 100; without meaning for
    /// `map-based`. A busy endpoint costs a look at all of them.
    #[must_use]
    pub fn with_hash_balance_factor(mut self, percent: u32) -> Self {
        self.settings.set_balance_factor(percent);
        self
    }
}

impl Strategy for KeyHash {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        self.settings.picker(snapshot, Input::Key)
    }
}
