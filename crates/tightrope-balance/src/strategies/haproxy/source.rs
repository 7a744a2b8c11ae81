//! By client address.

use std::sync::Arc;

use tightrope_upstream::Snapshot;

use super::{
    HashType,
    picker::{Input, Settings},
};
use crate::{Picker, Strategy};

/// HAProxy's `balance source`: a client stays on its endpoint for as long as that is available.
///
/// The address itself is the hash, all of it (an IPv6 address folded to 32 bits, IPv4-mapped ones
/// included), mixed only if the `hash-type` has `avalanche`; its function is not used. Otherwise as
/// [`KeyHash`](super::KeyHash), cost and memory too.
///
/// Source: HAProxy 2.6.12. Where nothing has to match HAProxy, choose [`Maglev`](crate::Maglev).
#[derive(Debug)]
pub struct Source {
    settings: Settings,
}

impl Source {
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

impl Strategy for Source {
    fn build(&mut self, snapshot: &Arc<Snapshot>) -> Box<dyn Picker> {
        self.settings.picker(snapshot, Input::Client)
    }
}
