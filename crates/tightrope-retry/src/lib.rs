//! Attempts on other endpoints, where that is safe
