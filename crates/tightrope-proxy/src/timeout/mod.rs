//! Who is waited for, and for how long.

mod head;
mod idle;

pub(crate) use self::{head::poll_head_expired, idle::IdleTimer};
