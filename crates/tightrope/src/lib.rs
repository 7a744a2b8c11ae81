//! In-process load balancing for Rust services
