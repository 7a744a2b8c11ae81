//! A request on its way out.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use http_body::Body;
use tokio::io::AsyncWrite;

use super::{encode, outbox::Outbox};
use crate::{
    forward::{First, Outgoing},
    splice::Takes,
};

/// Writes a head and its body, as fast as both sides allow.
#[derive(Debug)]
pub(crate) struct Writer {
    outbox: Outbox,
    /// None when all of it was taken.
    body: Option<Box<Outgoing>>,
    /// What was taken of it before anything was written; it goes back if nothing is.
    first: Option<Box<First>>,
    coding: Coding,
    state: State,
}

/// Where the bytes are that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There are none.
    New,
    /// Some may be kept: TLS does what does not go out at once.
    Written,
    Flushed,
}

/// How the end of the body is told.
#[derive(Clone, Copy, Debug)]
enum Coding {
    /// So much is left.
    Length(u64),
    Chunked,
}

/// Why a request was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The body failed; why is in its `Upload`.
    #[error("request body failed")]
    Body,
    #[error("request body is not as long as its head says")]
    Length,
}

impl Writer {
    /// Writes the head, by way of `buffer`, and `body`. The head must tell how long the body is.
    pub(crate) fn new(parts: &Parts, body: Option<Box<Outgoing>>, buffer: Vec<u8>) -> Self {
        let mut outbox = Outbox::new(buffer);
        encode::head(parts, outbox.buffer());
        let length = body
            .as_ref()
            .and_then(|_| parts.headers.get(header::CONTENT_LENGTH));
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        Self {
            outbox,
            body,
            first: None,
            coding: length.map_or(Coding::Chunked, Coding::Length),
            state: State::New,
        }
    }

    /// Whether any of it went out.
    pub(crate) const fn has_begun(&self) -> bool {
        !matches!(self.state, State::New)
    }

    /// The buffer.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.outbox.into_buffer()
    }

    /// The whole body, where nothing was written.
    pub(crate) fn into_unsent(self) -> Option<Box<Outgoing>> {
        let mut body = self.body?;
        if let Some(first) = self.first {
            body.give_back(first);
        }
        Some(body)
    }

    /// Whether the first that came of the body was its end.
    fn is_ended(&self) -> bool {
        matches!(self.first.as_deref(), Some(First::End(_)))
    }

    fn has_more(&self) -> bool {
        self.body.is_some() && !self.is_ended()
    }

    /// Ready when everything was written and flushed.
    pub(crate) fn poll<T: AsyncWrite + Unpin + 'static>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WriteError>> {
        let takes = Takes::by(io);
        loop {
            // The first piece of a body goes out with the head.
            if !self.outbox.has_data() && self.has_more() {
                // The first piece may have to be given back.
                let takes = match self.state {
                    State::New => Takes::Bytes,
                    State::Written | State::Flushed => takes,
                };
                let loaded = takes.ask(|| self.poll_load(cx))?;
                if loaded.is_pending() && self.outbox.is_empty() {
                    ready!(self.poll_flush(io, cx))?;
                    return Poll::Pending;
                }
            }
            if self.outbox.is_empty() {
                if !self.has_more() {
                    return self.poll_flush(io, cx).map_err(Into::into);
                }
                continue;
            }
            ready!(self.poll_write(io, cx))?;
        }
    }

    /// Takes the next piece of the body.
    fn poll_load(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Ok(()));
        };
        let frame = match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Poll::Ready(Err(WriteError::Body)),
            None => return Poll::Ready(self.end(HeaderMap::new())),
        };
        let data = match frame.into_data() {
            Ok(data) if data.is_empty() => return Poll::Ready(Ok(())),
            Ok(data) => data,
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return Poll::Ready(self.end(trailers));
            }
        };
        match &mut self.coding {
            Coding::Length(left) => {
                let length = data.len() as u64;
                *left = left.checked_sub(length).ok_or(WriteError::Length)?;
            }
            Coding::Chunked => encode::chunk_size(data.len(), self.outbox.buffer()),
        }
        let data = match self.state {
            State::New => {
                let data = Bytes::from(data);
                self.first = Some(Box::new(First::Data(data.clone())));
                data.into()
            }
            State::Written | State::Flushed => data,
        };
        self.outbox.put(data, self.coding.tail());
        Poll::Ready(Ok(()))
    }

    fn end(&mut self, trailers: HeaderMap) -> Result<(), WriteError> {
        match self.coding {
            Coding::Length(0) => {}
            Coding::Length(_) => return Err(WriteError::Length),
            Coding::Chunked => {
                encode::last_chunk(&trailers, self.outbox.buffer());
            }
        }
        if self.state == State::New {
            self.first = Some(Box::new(First::End(trailers)));
        } else {
            self.body = None;
        }
        Ok(())
    }

    fn poll_write<T: AsyncWrite + Unpin + 'static>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.outbox.poll_write(io, cx))?;
        self.state = State::Written;
        if self.is_ended() {
            self.body = None;
        }
        self.first = None;
        Poll::Ready(Ok(()))
    }

    fn poll_flush<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.state == State::Written {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.state = State::Flushed;
        }
        Poll::Ready(Ok(()))
    }
}

impl Coding {
    /// What comes after each piece.
    const fn tail(self) -> &'static [u8] {
        match self {
            Self::Length(_) => b"",
            Self::Chunked => b"\r\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::poll_fn, sync::Arc, time::Duration};

    use bytes::Bytes;
    use http::Request;
    use http_body::Frame;
    use tokio::{
        io::{AsyncReadExt, BufWriter, duplex},
        sync::mpsc,
        time::timeout,
    };

    use super::*;
    use crate::forward::{Pace, Upload};

    const ENDLESS: Pace = Pace {
        limit: Duration::MAX,
        credit: None,
    };

    struct Frames(mpsc::Receiver<Bytes>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let data = self.0.poll_recv(cx);
            data.map(|data| data.map(|data| Ok(Frame::data(data))))
        }
    }

    /// Takes nothing.
    struct Broken;

    impl AsyncWrite for Broken {
        fn poll_write(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_was_taken_for_nothing_goes_out_with_the_next_attempt() {
        for pieces in [&[][..], &["one"], &["one", "two"]] {
            let (sender, receiver) = mpsc::channel(2);
            for piece in pieces {
                sender
                    .send(Bytes::from_static(piece.as_bytes()))
                    .await
                    .unwrap();
            }
            drop(sender);
            let upload = Arc::new(Upload::new());
            let body = Outgoing::new(Frames(receiver), upload, ENDLESS);
            let head = Request::post("/").header("transfer-encoding", "chunked");
            let (parts, ()) = head.body(()).unwrap().into_parts();
            let mut writer = Writer::new(&parts, Some(body), Vec::new());
            let failed = poll_fn(|cx| writer.poll(&mut Broken, cx)).await;
            assert!(matches!(failed, Err(WriteError::Io(_))));
            assert!(!writer.has_begun());
            let mut writer = Writer::new(&parts, writer.into_unsent(), Vec::new());
            let (mut near, mut far) = duplex(1024);
            poll_fn(|cx| writer.poll(&mut near, cx)).await.unwrap();
            drop(near);
            let mut written = String::new();
            far.read_to_string(&mut written).await.unwrap();
            let chunks: String = pieces.iter().map(|p| format!("3\r\n{p}\r\n")).collect();
            let (_head, body) = written.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, format!("{chunks}0\r\n\r\n"));
        }
    }

    // Time stands still unless everybody waits for somebody else.
    #[tokio::test(start_paused = true)]
    async fn nothing_stays_behind_in_what_is_written_to() {
        let (near, mut far) = duplex(1024);
        // Keeps everything until it is flushed.
        let mut near = BufWriter::new(near);
        let (sender, receiver) = mpsc::channel(1);
        let upload = Arc::new(Upload::new());
        let body = Outgoing::new(Frames(receiver), upload, ENDLESS);
        let head = Request::post("/").header("transfer-encoding", "chunked");
        let (parts, ()) = head.body(()).unwrap().into_parts();
        let mut writer = Writer::new(&parts, Some(body), Vec::new());
        let writing = poll_fn(|cx| writer.poll(&mut near, cx));
        let reading = async {
            let mut expect = async |end: &str| {
                let mut read = String::new();
                while !read.ends_with(end) {
                    read.push(far.read_u8().await.unwrap().into());
                }
            };
            expect("\r\n\r\n").await;
            sender.send(Bytes::from_static(b"piece")).await.unwrap();
            expect("5\r\npiece\r\n").await;
            drop(sender);
            expect("0\r\n\r\n").await;
        };
        let both = async { tokio::join!(writing, reading) };
        let both = timeout(Duration::from_secs(1), both).await;
        both.expect("something stayed behind").0.unwrap();
    }
}
