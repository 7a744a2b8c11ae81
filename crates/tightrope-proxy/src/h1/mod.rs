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
mod known;
mod outbox;
mod reader;
mod size;
mod writer;

pub(crate) use self::{
    chunked::Chunked,
    connection::Connection,
    encode::{chunk_size, field, fields, last_chunk},
    framing::{Framing, FramingError, number},
    head::{Place, ends_lines_whole, place_of},
    outbox::Outbox,
    reader::{Piece, Position, ReadError, Reader},
    size::Padding,
    writer::{WriteError, Writer},
};
