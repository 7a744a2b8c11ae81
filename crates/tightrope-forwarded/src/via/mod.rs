//! `Via`: who passed a request on, and whether that was us before.

mod future;
mod layer;
mod service;

pub use self::future::ResponseFuture;
pub use self::layer::ViaLayer;
pub use self::service::Via;
