//! The body of a response on its way out.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use super::stream::Broken;
use crate::{hop_by_hop, splice::SplicedData, timeout::IdleTimer};

/// Writes a body as fast as the client allows.
pub(super) struct Outflow {
    stream: SendStream<Bytes>,
    /// What waits for room.
    data: Bytes,
    is_last: bool,
    /// How much is to come, where the head said it.
    left: Option<u64>,
    timer: IdleTimer,
}

impl Outflow {
    pub(super) fn new(stream: SendStream<Bytes>, left: Option<u64>) -> Self {
        Self {
            stream,
            data: Bytes::new(),
            is_last: false,
            left,
            timer: IdleTimer::default(),
        }
    }

    /// Ready when everything was handed over. A client that gives room for nothing is waited for as long as `limit`.
    pub(super) fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        limit: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>>
    where
        B: Body<Data: Into<SplicedData>>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        loop {
            ready!(self.poll_send(limit, cx))?;
            if self.is_last {
                return Poll::Ready(Ok(()));
            }
            let frame = match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Broken::Body(error.into())));
                }
                Poll::Ready(None) => {
                    self.check_end()?;
                    return Poll::Ready(self.send(Bytes::new(), true));
                }
                // Also while there is nothing to write.
                Poll::Pending => {
                    let reset = ready!(self.stream.poll_reset(cx));
                    return Poll::Ready(Err(reset.map_or_else(Broken::from, Broken::Reset)));
                }
            };
            match frame.into_data() {
                Ok(data) => {
                    let data = Bytes::from(data.into());
                    if let Some(left) = &mut self.left {
                        let rest = left.checked_sub(data.len() as u64);
                        *left = rest.ok_or(Broken::Length)?;
                    }
                    self.is_last = body.is_end_stream();
                    if self.is_last {
                        self.check_end()?;
                        if data.is_empty() {
                            return Poll::Ready(self.send(data, true));
                        }
                    }
                    // For all of it, so that what is sent in parts is asked for once.
                    self.stream.reserve_capacity(data.len());
                    self.data = data;
                }
                Err(frame) => {
                    self.check_end()?;
                    let mut trailers = frame.into_trailers().unwrap_or_default();
                    hop_by_hop::strip_connection(&mut trailers);
                    let sent = self.stream.send_trailers(trailers);
                    return Poll::Ready(sent.map_err(Broken::from));
                }
            }
        }
    }

    /// What waits goes out.
    fn poll_send(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.data.is_empty() {
            let Poll::Ready(capacity) = self.stream.poll_capacity(cx) else {
                let expired = self.timer.poll_expired(limit, cx);
                return expired.map(|()| Err(Broken::Stalled));
            };
            let capacity = capacity.unwrap_or(Err(Reason::STREAM_CLOSED.into()))?;
            self.timer.progress();
            let part = self.data.split_to(capacity.min(self.data.len()));
            self.send(part, self.is_last && self.data.is_empty())?;
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, data: Bytes, is_last: bool) -> Result<(), Broken> {
        self.stream.send_data(data, is_last).map_err(Broken::from)
    }

    fn check_end(&self) -> Result<(), Broken> {
        match self.left {
            Some(1..) => Err(Broken::Length),
            None | Some(0) => Ok(()),
        }
    }

    /// Tells the client that it does not get the rest.
    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }
}
