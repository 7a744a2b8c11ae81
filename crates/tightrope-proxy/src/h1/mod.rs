//! HTTP/1.1 as a client speaks it, on the task of whoever waits for the response.
//!
//! hyper's client drives a connection from a task of its own, to which requests and from which responses and
//! bodies go through channels. A proxy always has somebody who waits, so it can read and write itself: see
//! `DESIGN.md` for what that saves.

mod chunked;
mod connection;
mod encode;
mod framing;
mod head;
mod writer;

pub(crate) use self::{
    connection::{Connection, Piece, Position, ReadError, Tunnel},
    framing::{Framing, FramingError},
    writer::{WriteError, Writer},
};
