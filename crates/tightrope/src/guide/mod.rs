//! How the pieces go together.
//!
//! | page | what it answers |
//! | --- | --- |
//! | [`stack`] | which layer goes where, and what each passes to the next |
//! | [`strategies`] | which strategy to choose, what each does to latency, and how to write one |
//! | [`health`] | how probes, ejection, limits and stand-ins go together, and how to tune them; from nginx, HAProxy and Envoy |
//! | [`retries`] | what is sent again and when, how much of that there may be; from nginx, HAProxy, Envoy and gRPC |
//! | [`moving`] | what takes the place of the settings of nginx, HAProxy and Envoy |
//! | [`deploy`] | a new version beside the old, a switch, a drain, a way back; or the servers one by one |
//!
//! `examples/reverse-proxy` puts everything together; its `proxy.toml` shows every setting.

pub mod deploy;
pub mod health;
pub mod moving;
pub mod retries;
pub mod stack;
pub mod strategies;
