//! What a connection may be used for again.

use tightrope_upstream::{Address, Endpoint};

/// The record of an endpoint and the address that was connected to: an update that changes the
/// address, or a new endpoint under an old id, gets connections of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    serial: u64,
    address: Address,
}

impl Key {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self {
            serial: endpoint.record().serial(),
            address: endpoint.address().clone(),
        }
    }
}
