//! Benchmarks of tightrope beside its peers.
