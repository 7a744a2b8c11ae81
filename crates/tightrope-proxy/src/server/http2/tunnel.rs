//! A stream that goes on as something else than HTTP.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use tokio::io::ReadBuf;

use crate::io::take_early;

/// The bytes of a stream, both ways. Dropping it before both have ended resets the stream.
pub(in crate::server) struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// What came and was not read.
    early: Bytes,
}

impl Tunnel {
    pub(super) const fn new(send: SendStream<Bytes>, receive: RecvStream) -> Self {
        Self {
            send,
            receive,
            early: Bytes::new(),
        }
    }

    pub(in crate::server) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.early.is_empty() {
            match ready!(self.receive.poll_data(cx)) {
                Some(data) => self.early = data.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = take_early(&mut self.early, buf);
        // The client may send as much more as was read.
        let released = self.receive.flow_control().release_capacity(count);
        Poll::Ready(released.map_err(broken))
    }

    pub(in crate::server) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.send.reserve_capacity(bytes.len());
        let mut capacity = self.send.capacity();
        if capacity == 0 {
            let got = ready!(self.send.poll_capacity(cx));
            capacity = got
                .unwrap_or(Err(Reason::STREAM_CLOSED.into()))
                .map_err(broken)?;
        }
        let part = &bytes[..capacity.min(bytes.len())];
        let sent = self.send.send_data(Bytes::copy_from_slice(part), false);
        Poll::Ready(sent.map(|()| part.len()).map_err(broken))
    }

    pub(in crate::server) fn shut_down(&mut self) -> io::Result<()> {
        self.send.send_data(Bytes::new(), true).map_err(broken)
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
    }
    let kind = match error.is_reset() && error.is_remote() {
        true => io::ErrorKind::ConnectionReset,
        false => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, error)
}
