//! Who asks for a body.

use std::cell::Cell;

use super::socket;

/// What whoever asks for a piece of a body can write.
///
/// A body is asked through any number of layers, and [`Body`](http_body::Body) has no room to say this. So it is said
/// beside, for as long as the call lasts: whoever asks from elsewhere, as from a task of its own, gets bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Bytes,
    Pipes,
}

thread_local! {
    static NOW: Cell<Takes> = const { Cell::new(Takes::Bytes) };
}

/// Says what was said before.
struct Restore(Takes);

impl Takes {
    /// What can be written to `io`.
    pub(crate) fn by<T: 'static>(io: &mut T) -> Self {
        match socket(io) {
            Some(_) => Self::Pipes,
            None => Self::Bytes,
        }
    }

    /// What is taken by whoever asks at this moment.
    pub(crate) fn now() -> Self {
        NOW.get()
    }

    /// Asks for a piece.
    pub(crate) fn ask<R>(self, ask: impl FnOnce() -> R) -> R {
        let _restore = Restore(NOW.replace(self));
        ask()
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        NOW.set(self.0);
    }
}
