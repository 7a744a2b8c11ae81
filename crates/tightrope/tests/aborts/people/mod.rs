//! Who asks.

pub(crate) mod ask;
pub(crate) mod talk;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Person {
    /// Calls the service.
    Caller,
    /// Sends bytes to a server that does.
    Client,
}
