//! What is read from a connection, and the bodies in it.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use http::HeaderMap;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::{
    Framing,
    chunked::{ChunkError, Chunked, Decoded},
    framing::take_part,
    head::HeadError,
};
use crate::splice::{self, Filled, SplicedData, Takes};

/// Bytes that came and were not taken yet.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) bytes: BytesMut,
    /// How much is read at a time.
    step: usize,
    /// Within a body of which the rest comes in pipes.
    is_splicing: bool,
}

/// Where in a body we are.
#[derive(Debug)]
pub(crate) enum Position {
    Length(u64),
    Chunked(Chunked),
    Close,
}

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(SplicedData),
    Trailers(HeaderMap),
}

/// Why a message was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("connection was closed before the message was complete")]
    Closed,
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error("head is longer than {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

/// How much is read at a time: no more than is useful where little comes, and no less where much does.
const MIN_STEP: usize = 8 * 1024;
const MAX_STEP: usize = 64 * 1024;

/// How much of a body must be to come for pipes to be used: to copy less costs less.
const MIN_SPLICED: u64 = 128 * 1024;

// === impl Reader ===

impl Reader {
    pub(crate) fn new() -> Self {
        Self::after(BytesMut::new())
    }

    /// With what was read already.
    pub(crate) const fn after(bytes: BytesMut) -> Self {
        Self {
            bytes,
            step: MIN_STEP,
            is_splicing: false,
        }
    }

    /// Nothing is asked for a while: gives back what only much data needed. How much that was is still known, as
    /// what comes next may be as much.
    pub(crate) fn rest(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > MIN_STEP {
            self.bytes = BytesMut::new();
        }
    }

    /// The next piece of a body; none at its end.
    pub(crate) fn poll_piece<T: AsyncRead + Unpin + 'static>(
        &mut self,
        io: &mut T,
        position: &mut Position,
        takes: Takes,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Piece>, ReadError>> {
        if takes == Takes::Pipes
            && let Position::Length(left @ 1..) = position
            && let Some(filled) = ready!(self.poll_fill_pipe(io, *left, cx))?
        {
            *left -= filled.len() as u64;
            self.is_splicing = *left > 0;
            // What comes with the next head is copied, and should be little where bodies are long.
            self.step = MIN_STEP;
            let data = SplicedData::piped(filled);
            return Poll::Ready(Ok(Some(Piece::Data(data))));
        }
        loop {
            match position {
                Position::Length(0) => return Poll::Ready(Ok(None)),
                Position::Length(left) if !self.bytes.is_empty() => {
                    let data = take_part(&mut self.bytes, left);
                    return Poll::Ready(Ok(Some(Piece::Data(data.into()))));
                }
                Position::Close if !self.bytes.is_empty() => {
                    let data = self.bytes.split().freeze();
                    return Poll::Ready(Ok(Some(Piece::Data(data.into()))));
                }
                Position::Chunked(chunked) => match chunked.decode(&mut self.bytes)? {
                    Decoded::Data(data) => {
                        return Poll::Ready(Ok(Some(Piece::Data(data.into()))));
                    }
                    Decoded::Trailers(trailers) => {
                        return Poll::Ready(Ok(Some(Piece::Trailers(trailers))));
                    }
                    Decoded::End => return Poll::Ready(Ok(None)),
                    Decoded::More => {}
                },
                Position::Length(_) | Position::Close => {}
            }
            if ready!(self.poll_fill(io, cx))? == 0 {
                return Poll::Ready(match position {
                    Position::Close => Ok(None),
                    Position::Length(_) | Position::Chunked(_) => Err(ReadError::Closed),
                });
            }
        }
    }

    /// Moves what comes of a body into a pipe, where `left` is worth it; none where bytes are to be read.
    fn poll_fill_pipe<T: 'static>(
        &mut self,
        io: &mut T,
        left: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Filled>, ReadError>> {
        if !self.bytes.is_empty() || left < MIN_SPLICED && !self.is_splicing {
            return Poll::Ready(Ok(None));
        }
        let Some(socket) = splice::socket(io) else {
            return Poll::Ready(Ok(None));
        };
        Poll::Ready(match ready!(socket.poll_fill(left, cx)) {
            Ok(None) => Err(ReadError::Closed),
            Ok(filled) => Ok(filled),
            Err(error) if splice::is_refusal(&error) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    /// Reads more; 0 at the end.
    pub(crate) fn poll_fill<T: AsyncRead + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() - self.bytes.len() < MIN_STEP / 8 {
            self.bytes.reserve(self.step);
        }
        let count = ready!(poll_read_buf(Pin::new(io), cx, &mut self.bytes))?;
        if self.bytes.len() == self.bytes.capacity() {
            self.step = MAX_STEP.min(self.step * 2);
        } else if count < self.step / 4 {
            self.step = MIN_STEP.max(self.step / 2);
        }
        Poll::Ready(Ok(count))
    }

    /// Reads what comes when there is nothing: until then there is no buffer, and then one no larger than what came.
    /// 0 at the end.
    pub(crate) fn poll_first<T: AsyncRead + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut here = [MaybeUninit::uninit(); MIN_STEP];
        let mut buf = ReadBuf::uninit(&mut here);
        let read = Pin::new(io).poll_read(cx, &mut buf);
        if read.is_pending() {
            self.bytes = BytesMut::new();
        }
        ready!(read)?;
        self.bytes = BytesMut::from(buf.filled());
        Poll::Ready(Ok(self.bytes.len()))
    }
}

// === impl Position ===

impl Position {
    pub(crate) fn start(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::default()),
            Framing::Close => Self::Close,
        }
    }

    /// How much comes, if that is known.
    pub(crate) const fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::Close => None,
        }
    }

    /// Whether nothing more comes, as far as that is known.
    pub(crate) const fn is_end(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_end(),
            Self::Close => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn what_much_data_needed_is_given_back() {
        const LENGTH: usize = 4 << 20;
        let (mut near, mut far) = duplex(1 << 20);
        let mut reader = Reader::new();
        let writing =
            tokio::spawn(async move { far.write_all(&vec![b'x'; LENGTH]).await.map(|()| far) });
        let mut position = Position::Length(LENGTH as u64);
        let mut most = 0;
        while let Some(_piece) =
            poll_fn(|cx| reader.poll_piece(&mut near, &mut position, Takes::Bytes, cx))
                .await
                .unwrap()
        {
            most = most.max(reader.step);
        }
        let mut far = writing.await.unwrap().unwrap();
        assert!(most > MIN_STEP && most <= MAX_STEP, "{most}");
        reader.rest();
        assert!(reader.bytes.capacity() <= MIN_STEP);
        assert_eq!(reader.step, most);
        // Little that comes makes it less.
        for _ in 0..6 {
            far.write_all(b"x").await.unwrap();
            let count = poll_fn(|cx| reader.poll_fill(&mut near, cx)).await;
            assert_eq!(count.unwrap(), 1);
        }
        assert_eq!(reader.step, MIN_STEP);
    }

    #[tokio::test]
    async fn who_waits_for_the_first_byte_holds_no_buffer() {
        let (mut near, mut far) = duplex(64);
        let mut reader = Reader::new();
        reader.bytes.reserve(1000);
        let first = poll_fn(|cx| Poll::Ready(reader.poll_first(&mut near, cx))).await;
        assert!(first.is_pending());
        assert_eq!(reader.bytes.capacity(), 0);
        far.write_all(b"some").await.unwrap();
        let first = poll_fn(|cx| reader.poll_first(&mut near, cx)).await;
        assert_eq!(first.unwrap(), 4);
        assert_eq!(reader.bytes, "some");
        assert!(reader.bytes.capacity() < 64);
    }
}
