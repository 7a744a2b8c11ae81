//! Sources of endpoints, and what feeds them into an upstream.
//!
//! A [`Source`](tightrope_upstream::Source) gives whole lists. A [`Refresh`] makes each of them the members of an
//! [`Upstream`](tightrope_upstream::Upstream), in one transaction, and keeps the last good ones while a source is
//! broken or suddenly empty.
//!
//! ```
//! use tightrope_discover::{Refresh, channel};
//! use tightrope_upstream::{EndpointSpec, Upstream};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let upstream = Upstream::new("api");
//!     let (sender, source) = channel();
//!     let refresh = Refresh::new(&upstream, source).spawn(); // ends when it is dropped
//!
//!     sender.send(vec![EndpointSpec::new("10.0.0.1:8080".parse()?)])?;
//!     refresh.wait_for(|state| state.applied == 1).await;
//!     assert_eq!(upstream.snapshot().members().len(), 1);
//!
//!     // Somebody's query came back empty. That does not take the service down.
//!     sender.send(Vec::new())?;
//!     let state = refresh.wait_for(|state| state.refused == 1).await;
//!     println!("kept the old list: {:?}", state.last_error);
//!     assert_eq!(upstream.snapshot().members().len(), 1);
//!     Ok(())
//! }
//! ```
//!
//! | when you want to | use |
//! | --- | --- |
//! | feed a source into an upstream | [`Refresh`], [`Refreshing`] |
//! | give a list once | [`Fixed`] |
//! | give lists from code of your own | [`channel()`], or a [`Source`](tightrope_upstream::Source) of your own |
//! | have a list in a text file | `FileSource`, feature `file` |
//!
//! | feature | what it adds | default |
//! | --- | --- | --- |
//! | `file` | `FileSource`, `EndpointLine` | off |
//!
//! # What it does not do
//!
//! It does not resolve host names: an endpoint with a name is resolved by whoever connects, at each connection.

mod channel;
#[cfg(feature = "file")]
mod file;
mod fixed;
mod refresh;

#[cfg(feature = "file")]
pub use crate::file::{EndpointLine, FileError, FileSource, LineError, ListError};
pub use crate::{
    channel::{ChannelSource, Closed, Sender, channel},
    fixed::Fixed,
    refresh::{OnEmpty, Refresh, RefreshError, RefreshState, Refreshing},
};
