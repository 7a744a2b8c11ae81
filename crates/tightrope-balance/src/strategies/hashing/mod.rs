//! Strategies that keep a key on an endpoint.
//!
//! They share all but their table: what is hashed ([`HashOn`]), who takes over from an endpoint
//! that is unavailable, tried or full, and the bound on load ([`Bounded`]).

mod bounded;
mod circle;
mod fill;
mod hash_on;
mod jump;
mod maglev;
mod membership;
mod mix;
mod picker;
mod rendezvous;
mod ring;
mod ring_hash;
mod room;

pub use self::{
    bounded::Bounded, hash_on::HashOn, jump::Jump, maglev::Maglev, rendezvous::Rendezvous,
    ring_hash::RingHash,
};
pub(super) use self::{
    fill::{Seat, fill, prime},
    picker::Table,
    ring::{Ring, points},
};
