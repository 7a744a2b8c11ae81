//! The signals that the proxy obeys.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Shared;

/// What the operator may ask for.
pub(crate) struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Obeys them until one says to stop and everything has ended.
    pub(crate) async fn serve(mut self, proxy: &Shared) {
        loop {
            tokio::select! {
                Some(()) = self.reload.recv() => match proxy.reload().await {
                    Ok(()) => tracing::info!("the configuration was read again"),
                    Err(error) => tracing::error!("{error}; nothing was changed"),
                },
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
