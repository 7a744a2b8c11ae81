//! The program as its user meets it: arguments, files, signals, and what it says.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod administration;
mod capacity;
mod configuration;
mod deadlines;
mod demo;
mod grpc;
mod health;
mod http2;
mod identity;
mod linger;
mod outlier;
mod program;
mod proxy_protocol;
mod reload;
mod restart;
mod rewrite;
mod servers;
mod slow;
mod stop;
mod team_site;
mod tls;
mod upstream_tls;
mod websocket;
mod workers;
