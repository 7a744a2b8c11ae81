//! The services that were made, one for each endpoint.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tightrope_upstream::{Address, Endpoint, Follower, Snapshot};

/// Makes a service for each endpoint when it is first picked, and drops it when the endpoint
/// leaves the upstream.
pub(super) struct Services<M, S> {
    make: M,
    /// By serial of the record. Read by every request without a lock; replaced as a whole.
    made: ArcSwap<HashMap<u64, Made<S>>>,
    /// What only those who replace `made` touch.
    members: Mutex<Members>,
}

#[derive(Clone)]
struct Made<S> {
    address: Address,
    service: S,
}

#[derive(Default)]
struct Members {
    layout: u64,
    addresses: HashMap<u64, Address>,
}

impl<M, S: Clone> Services<M, S> {
    pub(super) fn new(make: M) -> Self {
        Self {
            make,
            made: ArcSwap::default(),
            members: Mutex::default(),
        }
    }

    /// A clone of the service of `endpoint`.
    pub(super) fn get(&self, endpoint: &Arc<Endpoint>) -> S
    where
        M: Fn(&Arc<Endpoint>) -> S,
    {
        if let Some(service) = find(&self.made.load(), endpoint) {
            return service;
        }
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let made = self.made.load();
        if let Some(service) = find(&made, endpoint) {
            return service;
        }
        let service = (self.make)(endpoint);
        let serial = endpoint.record().serial();
        // Else it left between the pick and now, and nobody would ever drop its service.
        if members.addresses.get(&serial) == Some(endpoint.address()) {
            let mut made = HashMap::clone(&made);
            made.insert(
                serial,
                Made {
                    address: endpoint.address().clone(),
                    service: service.clone(),
                },
            );
            self.made.store(Arc::new(made));
        }
        service
    }
}

/// The service of `endpoint`, unless there is none or it was made for an earlier address.
fn find<S: Clone>(made: &HashMap<u64, Made<S>>, endpoint: &Endpoint) -> Option<S> {
    let made = made.get(&endpoint.record().serial())?;
    (made.address == *endpoint.address()).then(|| made.service.clone())
}

impl<M, S> Follower for Services<M, S>
where
    M: Send + Sync,
    S: Clone + Send + Sync,
{
    fn follow(&self, snapshot: &Arc<Snapshot>) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if members.layout == snapshot.layout_generation() {
            return;
        }
        let address = |member: &Arc<Endpoint>| (member.record().serial(), member.address().clone());
        *members = Members {
            layout: snapshot.layout_generation(),
            addresses: snapshot.members().iter().map(address).collect(),
        };
        let made = self.made.load();
        let stays = |(serial, made): &(&u64, &Made<S>)| {
            members.addresses.get(serial) == Some(&made.address)
        };
        if !made.iter().all(|entry| stays(&entry)) {
            let left = made.iter().filter(stays);
            let left = left.map(|(&serial, made)| (serial, made.clone())).collect();
            self.made.store(Arc::new(left));
        }
    }
}
