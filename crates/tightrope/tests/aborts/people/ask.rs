//! Calls the service with a request of its own.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};

use crate::aborts::{exchange::Asks, stage::pause};

/// A body that comes in pieces, with a wait before each, and may fail after some.
pub(crate) struct Pieces {
    rest: VecDeque<&'static str>,
    /// How many come before it fails.
    left: usize,
    is_long_known: bool,
    waits: bool,
}

/// What `asks` for, with a body that fails after `pieces`.
pub(crate) fn request(asks: Asks, pieces: usize) -> Request<Pieces> {
    let request = Request::builder().uri("/").header("host", "a.test");
    let request = match asks {
        Asks::Get => request,
        Asks::Put(_) => request.method("PUT"),
        Asks::Post(_) => request.method("POST"),
        Asks::WebSocket => request
            .header("connection", "upgrade")
            .header("upgrade", "websocket"),
    };
    let body = Pieces {
        rest: asks.pieces().iter().copied().collect(),
        left: pieces,
        is_long_known: matches!(asks, Asks::Put(_)),
        waits: true,
    };
    request.body(body).unwrap()
}

/// Waits for the response and reads its body, with a wait after each frame.
pub(crate) async fn read<B, E>(
    response: impl Future<Output = Result<Response<B>, E>>,
    status: Rc<RefCell<Option<u16>>>,
) where
    B: Body + Unpin,
{
    let Ok(mut response) = response.await else {
        return;
    };
    *status.borrow_mut() = Some(response.status().as_u16());
    pause().await;
    while let Some(Ok(_frame)) = response.body_mut().frame().await {
        pause().await;
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.waits = !self.waits;
        if !self.waits {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(left) = self.left.checked_sub(1) else {
            return Poll::Ready(Some(Err(io::Error::other("the client went"))));
        };
        self.left = left;
        let piece = self.rest.pop_front().map(Bytes::from);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.is_long_known
    }

    fn size_hint(&self) -> SizeHint {
        match self.is_long_known {
            true => SizeHint::with_exact(self.rest.iter().map(|piece| piece.len() as u64).sum()),
            false => SizeHint::new(),
        }
    }
}
