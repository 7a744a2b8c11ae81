//! Bodies that are moved within the system.
//!
//! To copy a long body through the memory of a proxy costs more than all the rest of its request. Linux can move what
//! a socket received to another one by way of a pipe (`splice`), of which the proxy learns only how much it was.
//!
//! [`Spliced`] around a body makes that possible, and [`SplicedData`] is what then comes of it: bytes, or a pipe with
//! bytes in it. Layers that count pass both on; one that reads a piece gets its bytes from the pipe then.
//!
//! It happens where all of these are so, and bodies are copied otherwise:
//!
//! - the system is Linux, and both connections are HTTP/1.1 over TCP without TLS. That of the client is a
//!   [`TcpStream`](tokio::net::TcpStream), be it in a [`WriteTimeout`](crate::WriteTimeout) or a
//!   [`LingeringStream`](crate::LingeringStream);
//! - whoever writes to one of them asks for the body itself: bodies that go through a channel or a buffer are bytes;
//! - the length of the body is known, and 128 KiB of it or more are to come when it is first asked for after what came with its head;
//! - no more than 128 pipes are in use by the process.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use tightrope_proxy::{
//!     ForwardBody,
//!     server::RequestBody,
//!     splice::{Spliced, SplicedData},
//! };
//!
//! // On the way in and on the way out of whatever forwards.
//! fn inward(request: Request<RequestBody>) -> Request<Spliced<RequestBody>> {
//!     request.map(Spliced::new)
//! }
//! fn outward(response: Response<ForwardBody>) -> Response<Spliced<ForwardBody>> {
//!     response.map(Spliced::new)
//! }
//!
//! // Bytes are data as well.
//! let data = SplicedData::from(Bytes::from_static(b"hello"));
//! assert_eq!(Bytes::from(data), "hello");
//! # let _ = (inward, outward);
//! ```
//!
//! Source: HAProxy's `option splice-response` and `splice-request`.

mod data;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod pipe;
#[cfg(target_os = "linux")]
mod socket;
mod takes;

pub use self::data::SplicedData;
#[cfg(not(target_os = "linux"))]
pub(crate) use self::elsewhere::{Filled, is_refusal, socket};
pub(crate) use self::takes::Takes;
#[cfg(target_os = "linux")]
pub(crate) use self::{
    pipe::Filled,
    socket::{is_refusal, socket},
};

/// A body of which long pieces may come in pipes.
///
/// Around a [`ForwardBody`](crate::ForwardBody) or a [`RequestBody`](crate::server::RequestBody) it is a body of
/// [`SplicedData`]. In all else it is as the body inside.
#[derive(Debug)]
pub struct Spliced<B> {
    pub(crate) body: B,
}

impl<B> Spliced<B> {
    /// Lets pieces of `body` come in pipes.
    #[must_use]
    pub const fn new(body: B) -> Self {
        Self { body }
    }

    /// The body inside.
    #[must_use]
    pub const fn get_ref(&self) -> &B {
        &self.body
    }
}
