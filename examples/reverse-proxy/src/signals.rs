//! The signals that the proxy obeys.

use std::{future::pending, io, process::ExitStatus};

use tokio::{
    process::Child,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{Shared, restart};

/// What the operator may ask for.
pub(crate) struct Signals {
    reload: Signal,
    replace: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            replace: signal(SignalKind::user_defined2())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Obeys them until one says to stop and everything has ended.
    pub(crate) async fn serve(mut self, proxy: &Shared) {
        let mut successor = None;
        loop {
            tokio::select! {
                Some(()) = self.reload.recv() => match proxy.reload().await {
                    Ok(()) => tracing::info!("the configuration was read again"),
                    Err(error) => tracing::error!("{error}; nothing was changed"),
                },
                Some(()) = self.replace.recv() => replace(proxy, &mut successor).await,
                status = ended(&mut successor) => {
                    successor = None;
                    tracing::error!(?status, "the new process ended; this one goes on");
                }
                Some(()) = self.terminate.recv() => break,
                Some(()) = self.interrupt.recv() => break,
            }
        }
        tokio::select! {
            () = proxy.stop() => {}
            // Asked twice: at once.
            Some(()) = self.interrupt.recv() => {}
            Some(()) = self.terminate.recv() => {}
        }
    }
}

/// Starts a process that takes the place of this one, unless one is starting.
async fn replace(proxy: &Shared, successor: &mut Option<Child>) {
    if successor.is_some() {
        tracing::warn!("a new process is starting already");
        return;
    }
    let started = match proxy.sockets().await {
        Ok(sockets) => restart::start_successor(sockets),
        Err(error) => Err(error),
    };
    match started {
        Ok(child) => {
            let process = child.id().unwrap_or_default();
            tracing::info!(
                process,
                "a new process was started to take the place of this one"
            );
            *successor = Some(child);
        }
        Err(error) => tracing::error!(%error, "no new process could be started"),
    }
}

async fn ended(successor: &mut Option<Child>) -> io::Result<ExitStatus> {
    match successor {
        Some(child) => child.wait().await,
        None => pending().await,
    }
}
