//! A scripted endpoint that speaks raw bytes, and what feeds a `Forward`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod http2;

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tightrope_proxy::{Connections, Forward, ForwardBody, ForwardError};
use tightrope_upstream::{Change, EndpointSpec, Pick, Picked, Record, Upstream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower_service::Service;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An endpoint, and an upstream with it alone.
pub(crate) struct Origin {
    listener: TcpListener,
    pub(crate) upstream: Upstream,
}

/// A connection that the endpoint accepted, or any other raw one.
pub(crate) struct Peer<S = TcpStream> {
    pub(crate) stream: S,
    read: Vec<u8>,
}

impl Origin {
    pub(crate) async fn new() -> Self {
        Self::named("127.0.0.1").await
    }

    /// An endpoint whose address has this host, which must be one of this machine.
    pub(crate) async fn named(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = upstream(&format!("{host}:{port}"));
        Self { listener, upstream }
    }

    /// An endpoint that refuses connections.
    pub(crate) async fn refusing() -> Upstream {
        Self::new().await.upstream
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    pub(crate) fn pick(&self) -> Pick {
        pick(&self.upstream)
    }

    pub(crate) fn record(&self) -> Arc<Record> {
        record(&self.upstream)
    }

    /// What `forward` has of connections to it.
    pub(crate) fn connections(&self, forward: &Forward) -> Connections {
        forward.connections(&self.upstream.snapshot().members()[0])
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer::new(stream)
    }

    /// Goes once through the I/O driver, which then has seen what every socket received before.
    pub(crate) async fn settle(&self) {
        for _ in 0..3 {
            let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = other.local_addr().unwrap();
            let (one, two) = tokio::join!(TcpStream::connect(address), other.accept());
            let (mut one, (mut two, _)) = (one.unwrap(), two.unwrap());
            one.write_all(b"x").await.unwrap();
            two.read_exact(&mut [0]).await.unwrap();
        }
    }

    pub(crate) fn call<B>(
        &self,
        forward: &Forward,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<ForwardBody>, ForwardError>> + use<B>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        forward.clone().call(Picked::new(request, self.pick()))
    }

    /// One request with one response, after which the connection is idle in the pool.
    pub(crate) async fn warm(&self, forward: &Forward) -> Peer {
        let (response, peer) = tokio::join!(self.call(forward, get("/warm")), async {
            let mut peer = self.accept().await;
            peer.head().await;
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            peer
        });
        assert_eq!(text(response.unwrap()).await, "ok");
        peer
    }
}

/// An upstream with an endpoint at this address alone.
pub(crate) fn upstream(address: &str) -> Upstream {
    let upstream = Upstream::new("test");
    let spec = EndpointSpec::new(address.parse().unwrap());
    upstream.apply(Change::new().add(spec)).unwrap();
    upstream
}

pub(crate) fn pick(upstream: &Upstream) -> Pick {
    upstream.snapshot().members()[0].pick().unwrap()
}

pub(crate) fn record(upstream: &Upstream) -> Arc<Record> {
    Arc::clone(upstream.snapshot().members()[0].record())
}

pub(crate) fn get(path: &str) -> Request<Empty<Bytes>> {
    let request = Request::get(path).header("host", "a.test");
    request.body(Empty::new()).unwrap()
}

pub(crate) fn post(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("host", "a.test");
    request
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}

pub(crate) async fn text(response: Response<ForwardBody>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.read).await
    }

    /// The next head, in lower case.
    pub(crate) async fn head(&mut self) -> String {
        let head = self.until("\r\n\r\n").await;
        head.to_ascii_lowercase()
    }

    /// What comes up to and with `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let at = self
                .read
                .windows(end.len())
                .position(|w| w == end.as_bytes());
            if let Some(at) = at {
                let rest = self.read.split_off(at + end.len());
                let found = std::mem::replace(&mut self.read, rest);
                return String::from_utf8(found).unwrap();
            }
            assert_ne!(
                self.more().await.unwrap(),
                0,
                "ended before {end:?}: {:?}",
                self.read
            );
        }
    }

    pub(crate) async fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends this, or learns that nobody takes it.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next so many bytes.
    #[cfg(feature = "tls")]
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert_ne!(self.more().await.unwrap(), 0, "ended before {count} bytes");
        }
        let rest = self.read.split_off(count);
        std::mem::replace(&mut self.read, rest)
    }

    /// What comes until the other side closes or resets the connection.
    pub(crate) async fn rest(&mut self) -> String {
        while matches!(self.more().await, Ok(1..)) {}
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }
}

impl Peer {
    /// Closes with a reset instead of a FIN.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

/// A body whose frames a test sends.
pub(crate) struct Frames(mpsc::Receiver<Result<Frame<Bytes>, BoxError>>);

pub(crate) type FrameSender = mpsc::Sender<Result<Frame<Bytes>, BoxError>>;

pub(crate) fn frames() -> (FrameSender, Frames) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Frames(receiver))
}

pub(crate) fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

impl Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx)
    }
}
