//! Where there is no `splice`.

use std::{
    convert::Infallible,
    io,
    task::{Context, Poll},
};

use bytes::Bytes;

/// A pipe with bytes in it, of which there are none.
pub(crate) struct Filled(Infallible);

/// A socket that the system can move bytes from and to, which none is.
pub(crate) trait Socket {
    fn poll_fill(&mut self, max: u64, cx: &mut Context<'_>) -> Poll<io::Result<Option<Filled>>>;

    fn poll_drain(&mut self, filled: &mut Filled, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

pub(crate) const fn socket<T>(_io: &mut T) -> Option<&mut dyn Socket> {
    None
}

pub(crate) const fn is_refusal(_error: &io::Error) -> bool {
    false
}

impl Filled {
    pub(crate) const fn len(&self) -> usize {
        match self.0 {}
    }

    pub(crate) const fn read(&self) -> Bytes {
        match self.0 {}
    }
}
