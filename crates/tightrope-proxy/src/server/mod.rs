//! HTTP with clients, for any tower service.
//!
//! [`Http1`] answers the requests of a connection by a service. It reads strictly: what two servers could read in two
//! ways is refused with 400 and never reaches the service. It reads and writes on the task of the connection, without
//! channels, and a connection on which nothing happens holds no buffer. [`Http2`] does the same for connections of HTTP/2,
//! with a budget for all that a client may ask of one. [`detect`] tells which of them a client speaks.
//!
//! ```
//! use std::convert::Infallible;
//! use http::{Request, Response};
//! use tightrope_proxy::server::{End, Http1, RequestBody};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = service_fn(async |request: Request<RequestBody>| {
//!     Ok::<_, Infallible>(Response::new(request.uri().path().to_owned()))
//! });
//! let (mut client, socket) = duplex(1024);
//! let talk = async {
//!     client.write_all(b"GET /a HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").await?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer).await?;
//!     assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n/a"));
//!     std::io::Result::Ok(())
//! };
//! let (served, talked) = tokio::join!(Http1::new().serve(socket, service), talk);
//! talked?;
//! assert_eq!(served?, End::Closed);
//! # Ok(())
//! # }
//! ```

mod body;
mod date;
mod detect;
mod ended;
mod http1;
mod http2;
mod interim;
mod length;
mod upgrade;

pub use self::{
    body::{RequestBody, RequestBodyError},
    detect::{Detected, detect},
    ended::{End, ServeError},
    http1::{HalfClose, Http1, Http1Connection},
    http2::{Http2, Http2Connection},
    interim::Interim,
    upgrade::{OnUpgrade, Upgraded},
};
