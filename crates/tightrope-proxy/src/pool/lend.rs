//! How a request comes by a connection.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Weak},
    task::Poll,
};

use ::h2::client::SendRequest;
use bytes::Bytes;
use tightrope_upstream::{Endpoint, Failure, Patience};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::{
    ConnectError, Entry, Open, Pool, Stream,
    connect::{Made, connect},
};
use crate::{ForwardError, Preamble, Protocol, h1, h2};

/// What a request goes out on.
pub(crate) enum Lent {
    Http1(Box<h1::Connection>, Open),
    Http2(Arc<Stream>, SendRequest<Bytes>),
}

/// A connection, and whether it carried a request before.
pub(crate) struct Loan {
    pub(crate) lent: Lent,
    pub(crate) is_reused: bool,
}

/// No connection was to be had, since there may be no more of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("none of the {max} connections to the endpoint came free in time")]
pub(crate) struct Exhausted {
    max: usize,
}

/// What whoever wants a connection does next.
enum Step {
    Take(Loan),
    /// Makes one alone.
    Make(Open),
    Wait,
    Fail(Arc<ConnectError>),
}

/// One request that wants a connection.
struct Wish<'a> {
    protocol: Protocol,
    preamble: Option<&'a Preamble>,
    /// How long it is waited for, besides the time to connect.
    patience: Option<&'a Patience>,
    has_waited: bool,
    /// How many connections had been made for all when it came.
    ended: Option<u64>,
}

/// Counts who waits.
struct Waiting<'a>(&'a Entry);

// === impl Pool ===

impl Pool {
    /// A connection to `endpoint`, by way of `protocol`.
    ///
    /// One that begins with a preamble is for its request alone: those in the pool began with nothing, or for somebody else.
    pub(crate) async fn lend(
        &self,
        endpoint: &Endpoint,
        protocol: Protocol,
        preamble: Option<&Preamble>,
        patience: Option<&Patience>,
    ) -> Result<Loan, ForwardError> {
        let entry = self.entry(endpoint);
        if preamble.is_none()
            && let Some(loan) = entry.take(protocol)
        {
            return Ok(loan);
        }
        let wish = Wish {
            protocol,
            preamble,
            patience,
            has_waited: false,
            ended: None,
        };
        // Seldom, and large.
        Box::pin(entry.obtain(wish)).await
    }
}

// === impl Entry ===

impl Entry {
    /// Makes a connection or waits for one.
    async fn obtain(self: Arc<Self>, mut wish: Wish<'_>) -> Result<Loan, ForwardError> {
        let limit = self.config.connect_timeout;
        let mut until = Instant::now().checked_add(limit);
        let mut may_extend = true;
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on nothing is missed.
            changed.as_mut().enable();
            match self.step(&mut wish) {
                Step::Take(loan) => return Ok(loan),
                Step::Make(open) => return self.make(&wish, open).await,
                Step::Fail(error) => return Err(ForwardError::told(error)),
                Step::Wait => {}
            }
            let _waiting = Waiting(&self);
            let waited = async {
                match until {
                    None => {
                        changed.await;
                        Some(())
                    }
                    Some(end) => timeout_at(end, changed).await.ok(),
                }
            };
            match within(wish.patience, waited).await {
                Some(Some(())) => {}
                // Whoever makes one says within its own time why it failed.
                Some(None) if may_extend && self.lock().making > 0 => {
                    may_extend = false;
                    until = until.and_then(|end| end.checked_add(limit));
                }
                None if self.lock().making > 0 => {
                    return Err(ForwardError::new(Failure::ConnectTimeout));
                }
                Some(None) | None => {
                    let max = self.config.pool_max_connections;
                    let error = ForwardError::new(Failure::Unavailable);
                    return Err(error.with_source(Exhausted { max }));
                }
            }
        }
    }

    fn step(self: &Arc<Self>, wish: &mut Wish<'_>) -> Step {
        let mut state = self.lock();
        // Who came first goes first.
        let may_go = wish.has_waited || state.waiting == 0;
        if may_go
            && wish.preamble.is_none()
            && let Some(loan) = state.take(self, wish.protocol)
        {
            if state.has_more(self) {
                self.wake(&state);
            }
            return Step::Take(loan);
        }
        let ended = *wish.ended.get_or_insert(state.ended);
        if let Some((number, error)) = &state.failed
            && *number > ended
        {
            return Step::Fail(Arc::clone(error));
        }
        let has_room = state.open < self.config.pool_max_connections;
        let is_shared = wish.preamble.is_none()
            && match wish.protocol {
                Protocol::Http1 => false,
                Protocol::Http2 => true,
                Protocol::Negotiated => state.agreed != Some(Protocol::Http1),
            };
        if !is_shared {
            if may_go && has_room {
                state.open += 1;
                drop(state);
                return Step::Make(Open::new(Arc::clone(self)));
            }
        } else {
            // One for as many as it can carry, and one alone as long as nobody knows what it will speak.
            let is_wanted = match state.agreed {
                None => state.making == 0,
                Some(_) => state.making * h2::MAX_STREAMS <= state.waiting,
            };
            if has_room && is_wanted {
                state.open += 1;
                state.making += 1;
                while state.makers.try_join_next().is_some() {}
                let make = make_for_all(Arc::downgrade(self), wish.protocol);
                state.makers.spawn(make.in_current_span());
            }
        }
        state.waiting += 1;
        wish.has_waited = true;
        Step::Wait
    }

    /// Makes a connection for this request alone.
    async fn make(&self, wish: &Wish<'_>, open: Open) -> Result<Loan, ForwardError> {
        let made = connect(&self.address, wish.protocol, wish.preamble, &self.config);
        let made = within(wish.patience, made).await;
        let made = made.unwrap_or_else(|| Err(ConnectError::timed_out()))?;
        self.lock().made(&made);
        let lent = match made {
            Made::Http1(connection) => Lent::Http1(connection, open),
            Made::Http2(connection) => {
                let closed = || ForwardError::new(Failure::Connect);
                let requests = connection.requests().ok_or_else(closed)?;
                Lent::Http2(Arc::new(Stream::alone(connection, open)), requests)
            }
        };
        Ok(Loan {
            lent,
            is_reused: false,
        })
    }
}

/// What `future` gives, unless the attempt has had its time before.
async fn within<T>(patience: Option<&Patience>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if patience.is_some_and(Patience::is_over) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Makes a connection for all who wait, and tells them.
async fn make_for_all(entry: Weak<Entry>, protocol: Protocol) {
    let Some((address, config)) = entry
        .upgrade()
        .map(|entry| (entry.address.clone(), Arc::clone(&entry.config)))
    else {
        return;
    };
    let made = connect(&address, protocol, None, &config).await;
    let Some(entry) = entry.upgrade() else {
        return;
    };
    let mut state = entry.lock();
    state.making -= 1;
    state.ended += 1;
    match made {
        Ok(made) => {
            entry.admit(&mut state, made);
        }
        Err(error) => {
            state.open -= 1;
            state.failed = Some((state.ended, Arc::new(error)));
        }
    }
    drop(state);
    entry.changed.notify_waiters();
}

// === impl Waiting ===

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}
