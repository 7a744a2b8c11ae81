//! A new process takes the place of this one, with its sockets.
//!
//! The old process starts the program anew, which may be another version by then, and hands it the
//! listening sockets as systemd does: from descriptor 3 on, with their number in `LISTEN_FDS`. Nobody
//! is refused meanwhile, as the sockets never close. The new process accepts first and then tells the
//! old one to stop, by SIGTERM. Where it does not come so far, the old one goes on.

use std::{
    env, io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process,
};

use command_fds::{CommandFdExt, FdMapping};
use listenfd::ListenFd;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

/// The listening sockets that this process was started with.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    sockets: Vec<(SocketAddr, TcpListener)>,
}

/// Says in the environment of a new process which one it replaces.
const PREDECESSOR: &str = "TIGHTROPE_PREDECESSOR";

/// The first descriptor that is handed over.
const FIRST: i32 = 3;

// === impl Inherited ===

impl Inherited {
    /// Those that `LISTEN_FDS` tells of. Changes the environment, so there must be no threads yet.
    pub(crate) fn from_env() -> io::Result<Self> {
        let mut given = ListenFd::from_env();
        let mut sockets = Vec::new();
        for number in 0..given.len() {
            if let Some(socket) = given.take_tcp_listener(number)? {
                sockets.push((socket.local_addr()?, socket));
            }
        }
        Ok(Self { sockets })
    }

    /// Those that listen on `address`.
    pub(crate) fn take(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        let of = |(of, _): &mut (SocketAddr, TcpListener)| *of == address;
        let taken = self.sockets.extract_if(.., of);
        taken.map(|(_, socket)| socket).collect()
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        for (address, _) in &self.sockets {
            tracing::warn!(%address, "the socket is not in the configuration; it is closed");
        }
    }
}

/// Starts this program anew, with these sockets and the arguments that this process has.
pub(crate) fn start_successor(sockets: Vec<OwnedFd>) -> io::Result<Child> {
    let mut arguments = env::args_os();
    // As it was called: what a symbolic link names now may be another version.
    let program = arguments.next().unwrap_or_default();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LISTEN_FDS", sockets.len().to_string())
        .env_remove("LISTEN_PID")
        .env(PREDECESSOR, process::id().to_string());
    let mappings = (FIRST..).zip(sockets);
    let mappings = mappings.map(|(child_fd, parent_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    command
        .as_std_mut()
        .fd_mappings(mappings.collect())
        .map_err(io::Error::other)?;
    command.spawn()
}

/// Tells the process to stop that started this one to be replaced, if one did.
pub(crate) fn replace_predecessor() {
    let predecessor = env::var(PREDECESSOR).ok().and_then(|id| id.parse().ok());
    let parent = Pid::parent();
    // If it is not the parent any more it has ended, and the number may be somebody else's.
    if predecessor.map(Pid::from_raw) != Some(parent) {
        return;
    }
    match kill(parent, Signal::SIGTERM) {
        Ok(()) => tracing::info!(process = %parent, "the old process was told to stop"),
        Err(error) => tracing::error!(process = %parent, %error, "the old process goes on"),
    }
}
