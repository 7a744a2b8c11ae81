//! One connection of HTTP/1.1.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::AbortHandle,
};

use crate::{forward::Outgoing, timeout::IdleTimer};

/// The largest response head that is read, and the most that is read ahead of a body.
const MAX_BUFFER: usize = 128 * 1024;

/// A connection and the task that drives it; dropping this ends both.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: http1::SendRequest<Outgoing>,
    /// Measures how long its endpoint keeps us waiting, request after request.
    pub(crate) timer: IdleTimer,
    _task: Task,
}

/// Aborted when dropped. Left to itself, hyper would first write what it has buffered, and wait for
/// ever for an endpoint that takes nothing.
#[derive(Debug)]
struct Task(AbortHandle);

impl Connection {
    pub(crate) async fn new<T>(stream: T) -> hyper::Result<Self>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(stream))
            .await?;
        // It outlives the request that it was made for, so it is not in the span of that one.
        let task = tokio::spawn(async move {
            // How it ended was told to the request that it carried, if any.
            let _ended = connection.with_upgrades().await;
        });
        Ok(Self {
            sender,
            timer: IdleTimer::default(),
            _task: Task(task.abort_handle()),
        })
    }

    /// Whether a request can go out: the last one and its response are complete, and nothing came
    /// that no request asked for.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends `request`; gives it back where that was not even begun.
    ///
    /// None is returned where `expired` is ready first, which is asked with the timer each time there is no
    /// response yet.
    pub(crate) async fn send(
        &mut self,
        request: Request<Outgoing>,
        mut expired: impl FnMut(&mut IdleTimer, &mut Context<'_>) -> Poll<()>,
    ) -> Option<Result<Response<Incoming>, TrySendError<Request<Outgoing>>>> {
        let mut response = pin!(self.sender.try_send_request(request));
        self.timer.progress();
        let timer = &mut self.timer;
        poll_fn(|cx| match response.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => expired(timer, cx).map(|()| None),
        })
        .await
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
