//! Forwards one picked HTTP request to its endpoint
