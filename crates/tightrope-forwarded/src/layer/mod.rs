//! The middleware: a [`ForwardedLayer`] makes [`Forwarded`] services.

#[expect(
    clippy::module_inception,
    reason = "a middleware folder has its layer in layer.rs"
)]
mod layer;
mod service;

pub use self::layer::ForwardedLayer;
pub use self::service::Forwarded;
