//! Errors of bodies.

/// The error of a body, whose type is the user's.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
