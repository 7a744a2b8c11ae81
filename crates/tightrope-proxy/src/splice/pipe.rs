//! Pipes of the system.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use rustix::{
    buffer::spare_capacity,
    io::{Errno, retry_on_intr},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};

/// A pipe with bytes in it.
pub(crate) struct Filled {
    /// None only while this is dropped.
    pipe: Option<Pipe>,
    len: usize,
}

/// Both ends of a pipe.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

thread_local! {
    /// Empty ones, for whoever needs one next.
    static EMPTY: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// How many there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// How many there may be: each takes two descriptors, and slow readers hold theirs for long.
const MAX_COUNT: usize = 128;

/// How many empty ones a thread keeps.
const MAX_EMPTY: usize = 16;

/// How much fits in, in whole pages.
const SIZE: usize = 256 * 1024;

/// Nobody waits within the system.
const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

// === impl Filled ===

impl Filled {
    /// Moves up to `max` bytes, of those that a socket has received, into a pipe; none at the end of all.
    ///
    /// An error of the kind [`Unsupported`](io::ErrorKind::Unsupported) says that there is no pipe.
    pub(crate) fn fill(socket: impl AsFd, max: u64) -> io::Result<Option<Self>> {
        let mut filled = Self {
            pipe: Some(Pipe::take().ok_or(io::ErrorKind::Unsupported)?),
            len: 0,
        };
        if let Some(pipe) = &filled.pipe {
            let max = usize::try_from(max).map_or(SIZE, |max| max.min(SIZE));
            filled.len = retry_on_intr(|| splice(&socket, None, &pipe.write, None, max, FLAGS))?;
        }
        Ok((filled.len > 0).then_some(filled))
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Moves what the other side takes to a socket.
    pub(crate) fn drain(&mut self, socket: impl AsFd) -> io::Result<()> {
        if let Some(pipe) = &self.pipe {
            let len = self.len;
            self.len -= retry_on_intr(|| splice(&pipe.read, None, &socket, None, len, FLAGS))?;
        }
        Ok(())
    }

    /// The bytes, which are in the pipe no longer. They are there, so nobody waits for them, and nothing fails; were it
    /// otherwise, there would be fewer, and the body too short.
    pub(crate) fn read(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.len);
        while let Some(pipe) = &self.pipe
            && bytes.len() < self.len
        {
            match rustix::io::read(&pipe.read, spare_capacity(&mut bytes)) {
                Ok(1..) | Err(Errno::INTR) => {}
                Ok(0) | Err(_) => break,
            }
        }
        bytes.truncate(self.len);
        bytes.into()
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        if self.len == 0
            && let Some(pipe) = self.pipe.take()
        {
            pipe.keep();
        }
    }
}

// === impl Pipe ===

impl Pipe {
    /// An empty one, unless there are too many.
    fn take() -> Option<Self> {
        if let Some(pipe) = EMPTY.with_borrow_mut(Vec::pop) {
            return Some(pipe);
        }
        // Only the number matters.
        if COUNT.fetch_add(1, Ordering::Relaxed) >= MAX_COUNT {
            COUNT.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        match pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
            Ok((read, write)) => {
                // Who has many pipes gets small ones, which do as well.
                let _refused = fcntl_setpipe_size(&write, SIZE);
                Some(Self { read, write })
            }
            Err(_) => {
                COUNT.fetch_sub(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// For whoever needs one next.
    fn keep(self) {
        // At the end of a thread there is no next.
        let _closed = EMPTY.try_with(|empty| {
            let mut empty = empty.borrow_mut();
            if empty.len() < MAX_EMPTY {
                empty.push(self);
            }
        });
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}
