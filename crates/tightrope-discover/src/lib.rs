//! Sources of endpoints
