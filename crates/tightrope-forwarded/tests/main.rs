//! What the crate does, through its public API. One program, so that it is linked once.

mod allocation;
mod auto_traits;
mod generate;
mod layer;
mod networks;
mod properties;
mod proxy_protocol;
mod reference;
mod regressions;
mod rfc7239;
mod vectors;
mod via;
