//! A module for each library.

use std::{
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    task::{Context, Poll, Waker},
};

#[cfg(feature = "pingora")]
pub(crate) mod pingora;
pub(crate) mod tightrope;
pub(crate) mod tower;
#[cfg(feature = "volo")]
pub(crate) mod volo;

/// Where the `n`-th endpoint is.
fn address(n: u32) -> SocketAddr {
    (Ipv4Addr::from_bits(0x0a00_0000 + n), 80).into()
}

/// What `future` gives at once.
fn now<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing is waited for"),
    }
}
