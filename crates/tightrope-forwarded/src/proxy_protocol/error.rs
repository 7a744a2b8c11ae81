//! Why a header was refused.

/// Why bytes are not a header of the PROXY protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// They begin like neither version.
    #[error("there is no header of the PROXY protocol")]
    Missing,
    /// Version 1: no line end within the 107 bytes that a line may have.
    #[error("the line of a PROXY header does not end within 107 bytes")]
    TooLong,
    /// Version 1: LF without CR.
    #[error("the line of a PROXY header ends in LF without CR")]
    LineEnd,
    /// Version 1: a part of the line is missing or not what it must be.
    #[error("`{value}` is not a {field} of a PROXY header")]
    Field {
        /// Which one.
        field: &'static str,
        /// What is there, with escapes for what is not ASCII.
        value: String,
    },
    /// Version 1: there is more on the line than there should be.
    #[error("`{value}` stands behind the ports of a PROXY header")]
    Excess {
        /// What is there, with escapes for what is not ASCII.
        value: String,
    },
    /// A version that is not 2 behind the signature of version 2.
    #[error("PROXY header of version {version}; expected 1 or 2")]
    Version {
        /// The version.
        version: u8,
    },
    /// Version 2: neither LOCAL nor PROXY.
    #[error("PROXY header with command {command}; expected 0 or 1")]
    Command {
        /// The command.
        command: u8,
    },
    /// Version 2: a family of addresses or a transport that is not defined.
    #[error("PROXY header with family and transport 0x{value:02x}, which are not defined")]
    Family {
        /// Both, as in the header.
        value: u8,
    },
    /// Version 2: there is no room for the addresses.
    #[error("PROXY header of length {length}; its addresses take {addresses}")]
    Length {
        /// The length that the header announces, without the first 16 bytes.
        length: u16,
        /// How much of it addresses of this family take.
        addresses: u16,
    },
    /// Version 2: what stands behind the addresses ends in the middle of a TLV.
    #[error("PROXY header with a TLV at byte {at} that goes beyond its end")]
    Tlv {
        /// Where the TLV begins, counted from the beginning of the header.
        at: usize,
    },
}

/// Why a connection was not accepted by a [`Receiver`](crate::proxy_protocol::Receiver).
#[cfg(feature = "tokio")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// What came first is not a header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The header was not complete in time.
    #[error("no PROXY header within {limit:?}")]
    TimedOut {
        /// The time that it had.
        limit: std::time::Duration,
    },
    /// The peer closed the connection before the header was complete.
    #[error("the connection ended after {received} bytes of a PROXY header")]
    Ended {
        /// How many bytes had come.
        received: usize,
    },
    /// The connection broke.
    #[error("the connection broke before its PROXY header")]
    Io(#[from] std::io::Error),
}
