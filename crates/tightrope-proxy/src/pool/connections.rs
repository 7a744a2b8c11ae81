//! What can be said of the connections to one endpoint.

/// The connections of one [`Forward`](crate::Forward) to one endpoint, as they were at one moment. Tunnels count for as long
/// as they last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connections {
    /// How many are open or being made.
    pub open: usize,
    /// How many of them carry nothing and wait for a request.
    pub idle: usize,
    /// How many of them speak HTTP/2.
    pub http2: usize,
    /// How many requests are carried by those that speak HTTP/2.
    pub streams: usize,
    /// How many requests wait for a connection or for room on one.
    pub waiting: usize,
    /// How many were made since the endpoint was first used. One whose making failed does not count.
    pub made: u64,
    /// How many requests went out on one that had carried another or was waiting for it.
    pub reused: u64,
}
