//! What the crate does, through its public API. One program, so that it is linked once.

#[cfg(not(loom))]
mod auto_traits;
#[cfg(not(loom))]
mod drain;
#[cfg(not(loom))]
mod events;
#[cfg(not(loom))]
mod followers;
#[cfg(not(loom))]
mod limits;
#[cfg(not(loom))]
mod load;
#[cfg(loom)]
mod loom_drain;
#[cfg(loom)]
mod loom_places;
#[cfg(loom)]
mod loom_publish;
#[cfg(not(loom))]
mod members;
#[cfg(not(loom))]
mod model;
#[cfg(loom)]
mod models;
#[cfg(not(loom))]
mod picks;
#[cfg(not(loom))]
mod ramps;
#[cfg(not(loom))]
mod records;
#[cfg(not(loom))]
mod reference;
#[cfg(not(loom))]
mod sizes;
#[cfg(not(loom))]
mod text;
#[cfg(not(loom))]
mod transactions;
#[cfg(not(loom))]
mod vocabulary;
