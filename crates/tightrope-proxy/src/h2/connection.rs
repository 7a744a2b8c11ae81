//! One connection, and the task that drives it.

use std::{
    fmt,
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong, Reason,
    client::{self, SendRequest},
};
use http::uri::Scheme;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::io::Io;

/// A connection to an endpoint that carries many requests. Dropping it closes it.
///
/// A task reads and writes it; requests, responses and bodies are exchanged with that through the state that
/// the streams share, without a channel between.
pub(crate) struct Connection {
    requests: SendRequest<Bytes>,
    scheme: Scheme,
    doubt: Arc<Doubt>,
    since: Instant,
    driver: JoinHandle<()>,
}

/// Whether the other side is still there.
#[derive(Debug, Default)]
struct Doubt {
    is_raised: AtomicBool,
    raised: Notify,
}

/// How much an endpoint may send of one response before a reader took it.
const STREAM_WINDOW: u32 = 256 * 1024;

/// How many requests are sent at most at a time, whatever the endpoint allows.
pub(crate) const MAX_STREAMS: usize = 100;

/// As much as all streams of a connection: who reads slowly holds up nobody else.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;

/// The longest head of a response, as with HTTP/1.1.
const MAX_HEAD: u32 = 128 * 1024;

// === impl Connection ===

impl Connection {
    /// Begins to speak HTTP/2 on `io`, until the endpoint has said how many requests it takes at a time. One that
    /// is asked whether it is still there has `patience` to answer.
    ///
    /// Must be called within a runtime.
    pub(crate) async fn start(io: Io, patience: Duration) -> Result<Self, h2::Error> {
        let scheme = io.scheme();
        let (requests, mut connection) = client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD)
            .initial_max_send_streams(0)
            .handshake(io)
            .await?;
        // Before it is told the limit, a client would send more than the endpoint takes.
        poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Err(Reason::NO_ERROR.into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if requests.current_max_send_streams() == 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        let doubt = Arc::new(Doubt::default());
        let pings = connection.ping_pong();
        let asking = Arc::clone(&doubt);
        let driver = tokio::spawn(async move {
            let mut connection = pin!(connection);
            let mut unanswered = pin!(asking.unanswered(pings, patience));
            poll_fn(|cx| match connection.as_mut().poll(cx) {
                // Its streams are told why.
                Poll::Ready(_ended) => Poll::Ready(()),
                Poll::Pending => unanswered.as_mut().poll(cx),
            })
            .await;
        });
        Ok(Self {
            requests,
            scheme,
            doubt,
            since: Instant::now(),
            driver,
        })
    }

    /// What a request goes out with, if one may: it is open, nobody doubts that, and the endpoint did not say
    /// that it takes no more.
    pub(crate) fn requests(&self) -> Option<SendRequest<Bytes>> {
        // Relaxed: a moment later would do as well.
        let is_doubted = self.doubt.is_raised.load(Ordering::Relaxed);
        self.usable().filter(|_| !is_doubted)
    }

    /// Whether it will never carry a request again.
    pub(crate) fn is_over(&self) -> bool {
        self.usable().is_none()
    }

    fn usable(&self) -> Option<SendRequest<Bytes>> {
        if self.driver.is_finished() {
            return None;
        }
        let mut requests = self.requests.clone();
        let mut context = Context::from_waker(Waker::noop());
        match requests.poll_ready(&mut context) {
            Poll::Ready(Ok(())) => Some(requests),
            _ => None,
        }
    }

    /// How many requests it carries at most at a time.
    pub(crate) fn max_streams(&self) -> usize {
        self.requests.current_max_send_streams().min(MAX_STREAMS)
    }

    pub(crate) const fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Since when it is open.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// An answer did not come: asks the endpoint whether it is still there. Until it says so no request goes out,
    /// and if it does not the connection ends.
    pub(crate) fn doubt(&self) {
        self.doubt.is_raised.store(true, Ordering::Relaxed);
        self.doubt.raised.notify_one();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("scheme", &self.scheme)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

// === impl Doubt ===

impl Doubt {
    /// Ends when the other side was asked whether it is there and did not answer within `patience`.
    async fn unanswered(&self, pings: Option<PingPong>, patience: Duration) {
        let Some(mut pings) = pings else {
            return pending().await;
        };
        loop {
            self.raised.notified().await;
            let pong = pings.ping(Ping::opaque());
            if !matches!(timeout(patience, pong).await, Ok(Ok(_))) {
                return;
            }
            self.is_raised.store(false, Ordering::Relaxed);
        }
    }
}
