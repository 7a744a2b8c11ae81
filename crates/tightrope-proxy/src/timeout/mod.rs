//! Who is waited for, and for how long.

mod head;
mod idle;

pub(crate) use self::{head::head, idle::IdleTimer};
