//! What the crate does, through its public API. One program, so that it is linked once.

mod allocation;
mod auto_traits;
mod capacity;
mod choice;
mod compatible;
mod custom;
mod envoy_vectors;
mod explain;
mod haproxy_vectors;
mod hashing;
mod least_request;
mod nginx_vectors;
mod orca;
mod peak_ewma;
mod per_endpoint;
mod per_endpoint_body;
mod prequal;
mod requests;
mod scope;
mod service;
mod shares;
mod slow_start;
mod split;
mod support;
mod updates;
mod vectors;
