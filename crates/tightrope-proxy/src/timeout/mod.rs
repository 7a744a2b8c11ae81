//! Who is waited for, and for how long.

mod head;
mod idle;
mod min_rate;
mod write;

pub(crate) use self::{head::Waits, idle::IdleTimer, min_rate::Credit};
pub use self::{min_rate::MinRate, write::WriteTimeout};
