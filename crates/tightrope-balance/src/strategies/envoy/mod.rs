//! Strategies that choose as Envoy does: that send each key where it would, and spread by load as
//! it does.
//!
//! For a service that moves here from Envoy, or runs beside it, and wants every key to stay where
//! it is. Recorded from Envoy 1.40.0, with a hash policy on one header: pass its value to
//! [`Context::with_key`](crate::Context::with_key). An endpoint is known by its id, which by default
//! is the text of its address, as in Envoy; give it another one where Envoy has a `hash_key` for it
//! or hashes host names. Of several localities or priorities nothing is known here.
//!
//! Envoy builds its tables over the healthy, not over all members, so here an endpoint that becomes
//! unavailable moves some keys of others as well. Where nothing has to match Envoy, choose
//! [`Maglev`](crate::Maglev) or [`RingHash`](crate::RingHash).

mod least_request;
mod maglev;
mod mersenne;
mod murmur;
mod overload;
mod picker;
mod ring_hash;

pub use self::{
    least_request::LeastRequest,
    maglev::Maglev,
    ring_hash::{HashFunction, RingHash},
};
