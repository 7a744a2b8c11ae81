//! The threads that serve requests.

use std::{io, num::NonZeroUsize, sync::Arc, thread};

use tokio::{
    net::TcpListener,
    runtime::{self, Handle},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What serves requests: a worker is a runtime to spawn on, and a number that says whose connections
/// to endpoints its requests use. Dropping this ends the threads that were started for it.
#[derive(Debug)]
pub(crate) struct Workers {
    runtimes: Vec<Handle>,
    _end: DropGuard,
}

// === impl Workers ===

impl Workers {
    /// One worker: the caller's runtime, whatever threads it has.
    pub(crate) fn shared() -> Self {
        Self {
            runtimes: vec![Handle::current()],
            _end: CancellationToken::new().drop_guard(),
        }
    }

    /// As many as `count`, each a thread with a runtime of its own.
    pub(crate) fn start(count: NonZeroUsize) -> io::Result<Self> {
        let end = CancellationToken::new();
        let mut runtimes = Vec::new();
        for number in 0..count.get() {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtimes.push(runtime.handle().clone());
            let ended = end.clone().cancelled_owned();
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || runtime.block_on(ended))?;
        }
        Ok(Self {
            runtimes,
            _end: end.drop_guard(),
        })
    }

    /// How many there are: at least one.
    pub(crate) fn count(&self) -> usize {
        self.runtimes.len()
    }

    /// How many tasks they have: connections, tunnels, what goes on beside requests.
    pub(crate) fn tasks(&self) -> usize {
        let tasks = self.runtimes.iter().map(|r| r.metrics().num_alive_tasks());
        tasks.sum()
    }

    /// The runtime of worker number `worker`.
    pub(crate) fn runtime(&self, worker: usize) -> &Handle {
        &self.runtimes[worker]
    }

    /// Divides the sockets of an address among them: each worker has one at least and each socket a
    /// worker, so that nothing waits in the queue of a socket that nobody looks at. Where there are fewer
    /// sockets than workers some have the same.
    pub(crate) fn divide(
        &self,
        sockets: &[std::net::TcpListener],
    ) -> io::Result<Vec<(usize, Arc<TcpListener>)>> {
        let mut divided = Vec::new();
        let count = sockets.len().max(self.count());
        for (number, socket) in sockets.iter().cycle().take(count).enumerate() {
            let worker = number % self.count();
            let _registered_with = self.runtimes[worker].enter();
            let socket = socket.try_clone()?;
            socket.set_nonblocking(true)?;
            divided.push((worker, Arc::new(TcpListener::from_std(socket)?)));
        }
        Ok(divided)
    }
}
