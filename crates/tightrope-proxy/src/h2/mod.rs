//! HTTP/2 as a client speaks it: many requests on one connection.

mod connection;
mod error;
mod head;
mod reader;
mod writer;

pub(crate) use self::{
    connection::{Connection, MAX_STREAMS},
    error::{failure, is_unprocessed},
    head::outgoing,
    reader::Reader,
    writer::{WriteError, Writer},
};
