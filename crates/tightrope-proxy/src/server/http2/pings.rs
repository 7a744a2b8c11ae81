//! Whether the client is still there.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use h2::{Ping, PingPong};

use crate::timeout::IdleTimer;

/// Asks the client from time to time.
#[derive(Debug)]
pub(super) struct Pings {
    /// None before HTTP/2 is spoken.
    ping: Option<PingPong>,
    is_asked: bool,
    interval: Duration,
    timeout: Duration,
    timer: IdleTimer,
}

impl Pings {
    /// Asks every `interval`; the client has `timeout` to answer.
    pub(super) fn new(interval: Duration, timeout: Duration) -> Self {
        Self {
            ping: None,
            is_asked: false,
            interval,
            timeout,
            timer: IdleTimer::default(),
        }
    }

    pub(super) fn begin(&mut self, ping: Option<PingPong>) {
        self.ping = ping;
    }

    /// Ready when the client did not answer in time.
    pub(super) fn poll_unanswered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(ping) = &mut self.ping else {
            return Poll::Pending;
        };
        loop {
            if self.is_asked {
                match ping.poll_pong(cx) {
                    Poll::Ready(Ok(_pong)) => {
                        self.is_asked = false;
                        self.timer.progress();
                    }
                    // Nobody can answer it any more: the connection tells why.
                    Poll::Ready(Err(_ended)) => return Poll::Pending,
                    Poll::Pending => return self.timer.poll_expired(self.timeout, cx),
                }
            }
            if self.timer.poll_expired(self.interval, cx).is_pending() {
                return Poll::Pending;
            }
            if ping.send_ping(Ping::opaque()).is_err() {
                return Poll::Pending;
            }
            self.is_asked = true;
            self.timer.progress();
        }
    }
}
