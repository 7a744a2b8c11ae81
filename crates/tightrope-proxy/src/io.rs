//! What a connection goes over.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use http::uri::Scheme;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

#[cfg(feature = "tls")]
use crate::{Protocol, tls::Stream};

/// A connection of which some was read already.
#[derive(Debug)]
pub(crate) struct Early<T> {
    pub(crate) io: T,
    /// What was read.
    pub(crate) early: BytesMut,
}

/// A connected socket, or what is spoken on one.
///
/// Who gets an error from the first write can rely on that the other side has nothing of it: TLS takes one record at
/// a time, and a part of a record cannot be read. What was written may stay here until it is flushed.
#[derive(Debug)]
pub(crate) enum Io {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    /// Boxed: it is many times as large, and most connections are not.
    #[cfg(feature = "tls")]
    Tls(Box<Stream>),
}

impl Io {
    /// What requests on it are for.
    pub(crate) const fn scheme(&self) -> Scheme {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(_) => Scheme::HTTPS,
            _ => Scheme::HTTP,
        }
    }

    /// Whether HTTP/2 was agreed on; none where nothing was.
    pub(crate) fn speaks_http2(&self) -> Option<bool> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(io) => {
                let agreed = io.get_ref().1.alpn_protocol()?;
                Some(agreed == Protocol::ALPN_HTTP2)
            }
            _ => None,
        }
    }
}

/// Calls a method of whichever it is.
macro_rules! either {
    ($this:expr, $io:ident => $call:expr) => {
        match $this.get_mut() {
            Io::Tcp($io) => $call,
            #[cfg(unix)]
            Io::Unix($io) => $call,
            #[cfg(feature = "tls")]
            Io::Tls($io) => $call,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
            #[cfg(unix)]
            Self::Unix(io) => Pin::new(io).poll_write(cx, bytes),
            // Its plain write goes on to the next record.
            #[cfg(feature = "tls")]
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, &[IoSlice::new(bytes)]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, io => Pin::new(io).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            #[cfg(unix)]
            Self::Unix(io) => io.is_write_vectored(),
            #[cfg(feature = "tls")]
            Self::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}

// === impl Early ===

/// Takes bytes that were read before they were asked for: how many.
pub(crate) fn take_early(early: &mut impl Buf, buf: &mut ReadBuf<'_>) -> usize {
    let here = early.chunk();
    let count = here.len().min(buf.remaining());
    buf.put_slice(&here[..count]);
    early.advance(count);
    count
}

impl<T: AsyncRead + Unpin> AsyncRead for Early<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        take_early(&mut self.early, buf);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Early<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(all(test, feature = "tls", unix))]
mod tests {
    use std::{future::poll_fn, sync::Arc};

    use tokio::{io::AsyncReadExt, net::UnixStream};
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, crypto::ring},
    };

    use super::*;
    use crate::ClientTls;

    #[tokio::test]
    async fn a_write_of_tls_is_one_record() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let tls = ClientTls::from_pem(made.cert.pem().as_bytes()).unwrap();
        let tls = tls.with_server_name("a.test").unwrap();

        let (near, far) = UnixStream::pair().unwrap();
        let address = "unix:/socket".parse().unwrap();
        let (near, far) = tokio::join!(
            tls.handshake(&address, Protocol::Http1, Io::Unix(near)),
            TlsAcceptor::from(Arc::new(config)).accept(far)
        );
        let (mut near, mut far) = (Io::Tls(near.unwrap()), far.unwrap());
        let much = vec![b'x'; 1 << 16];
        let slices = [IoSlice::new(&much), IoSlice::new(&much)];
        for is_plain in [true, false] {
            let written = poll_fn(|cx| match is_plain {
                true => Pin::new(&mut near).poll_write(cx, &much),
                false => Pin::new(&mut near).poll_write_vectored(cx, &slices),
            });
            assert_eq!(written.await.unwrap(), 1 << 14);
            let mut received = vec![0; 1 << 14];
            far.read_exact(&mut received).await.unwrap();
        }
    }
}
