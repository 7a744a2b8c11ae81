//! Strategies that choose an endpoint, and the tower service that uses them
