//! A request body on its way out.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body;

use crate::forward::Outgoing;

/// Writes a body as fast as both sides allow.
pub(crate) struct Writer {
    stream: SendStream<Bytes>,
    body: Box<Outgoing>,
    data: Bytes,
}

/// Why a body was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Stream(#[from] h2::Error),
    /// Why is in its `Upload`.
    #[error("request body failed")]
    Body,
}

impl Writer {
    pub(crate) const fn new(stream: SendStream<Bytes>, body: Box<Outgoing>) -> Self {
        Self {
            stream,
            body,
            data: Bytes::new(),
        }
    }

    /// The body, as far as it was not taken.
    pub(crate) fn into_body(self) -> Box<Outgoing> {
        self.body
    }

    /// Ready when everything was handed over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        loop {
            // Also while the client is waited for.
            if let Poll::Ready(reset) = self.stream.poll_reset(cx) {
                return Poll::Ready(Err(match reset {
                    Ok(reason) => WriteError::Stream(reason.into()),
                    Err(error) => error.into(),
                }));
            }
            while !self.data.is_empty() {
                self.stream.reserve_capacity(self.data.len());
                let capacity = ready!(self.stream.poll_capacity(cx));
                let capacity = capacity.unwrap_or(Err(Reason::STREAM_CLOSED.into()))?;
                let part = self.data.split_to(capacity.min(self.data.len()));
                self.stream.send_data(part, false)?;
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(WriteError::Body));
                }
                None => {
                    self.stream.send_data(Bytes::new(), true)?;
                    return Poll::Ready(Ok(()));
                }
            };
            match frame.into_data() {
                Ok(data) => self.data = data.into(),
                Err(frame) => {
                    let trailers: HeaderMap = frame.into_trailers().unwrap_or_default();
                    self.stream.send_trailers(trailers)?;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
