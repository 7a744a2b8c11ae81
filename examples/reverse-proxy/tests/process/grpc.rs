//! gRPC, with tonic on both sides.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use http::{Request, Response, uri::PathAndQuery};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_stream::{Stream, StreamExt, wrappers::UnboundedReceiverStream};
use tonic::{
    Code, Status, Streaming,
    body::Body,
    client,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataValue,
    server,
    transport::{Channel, Endpoint},
};

use super::program::{Program, file, soon};

/// Messages that are bytes.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

type Replies = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// Says a message back, or refuses it.
struct Unary;

impl server::UnaryService<Bytes> for Unary {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        if request.get_ref() == "refuse" {
            let mut status = Status::failed_precondition("not \u{fc}ber today");
            status
                .metadata_mut()
                .insert("x-why", "closed".parse().unwrap());
            return std::future::ready(Err(status));
        }
        let asked = request.metadata().get_bin("x-key-bin").cloned();
        let mut reply = tonic::Response::new(request.into_inner());
        if let Some(key) = asked {
            reply.metadata_mut().insert_bin("x-key-bin", key);
        }
        std::future::ready(Ok(reply))
    }
}

/// Says each message back as it comes, and an error after `fail`. Tells when the client goes away after `hang`.
struct Talk {
    gone: mpsc::UnboundedSender<&'static str>,
}

impl server::StreamingService<Bytes> for Talk {
    type Response = Bytes;
    type ResponseStream = Replies;
    type Future = std::future::Ready<Result<tonic::Response<Replies>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let mut messages = request.into_inner();
        let (sender, replies) = mpsc::unbounded_channel();
        let gone = self.gone.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                let is_last = message == "fail" || message == "hang";
                let reply = match message == "fail" {
                    true => Err(Status::aborted("as asked")),
                    false => Ok(message.clone()),
                };
                if sender.send(reply).is_err() {
                    return;
                }
                if message == "hang" {
                    sender.closed().await;
                    let _told = gone.send("cancelled");
                }
                if is_last {
                    return;
                }
            }
        });
        let replies: Replies = Box::pin(UnboundedReceiverStream::new(replies));
        std::future::ready(Ok(tonic::Response::new(replies)))
    }
}

/// A call that has so much time. Tells when it is dropped.
struct Waiting {
    left: Duration,
    gone: mpsc::UnboundedSender<&'static str>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let is_passed_on = self.left <= DEADLINE && self.left > DEADLINE / 2;
        let told = if is_passed_on { "told" } else { "not told" };
        let _told = self.gone.send(told);
    }
}

/// How long a client gives a call for which there is no answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// What `grpc-timeout` says.
fn time_left<B>(request: &Request<B>) -> Duration {
    let text = request.headers()["grpc-timeout"].to_str().unwrap();
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u32 = number.parse().unwrap();
    let unit = match unit {
        "S" => Duration::from_secs(1),
        "m" => Duration::from_millis(1),
        "u" => Duration::from_micros(1),
        "n" => Duration::from_nanos(1),
        _ => panic!("{text}"),
    };
    unit * number
}

#[derive(Clone)]
struct Server {
    gone: mpsc::UnboundedSender<&'static str>,
}

impl tower::Service<Request<hyper::body::Incoming>> for Server {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let gone = self.gone.clone();
        Box::pin(async move {
            let mut grpc = server::Grpc::new(Plain);
            Ok(match request.uri().path() {
                "/test.Test/Unary" => grpc.unary(Unary, request).await,
                "/test.Test/Talk" => grpc.streaming(Talk { gone }, request).await,
                "/test.Test/Wait" => {
                    let _held = Waiting {
                        left: time_left(&request),
                        gone,
                    };
                    std::future::pending().await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// An endpoint, and what it says of clients that go away.
struct Endpoints {
    port: u16,
    gone: mpsc::UnboundedReceiver<&'static str>,
    _task: JoinSet<()>,
}

async fn endpoint() -> Endpoints {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (gone, told) = mpsc::unbounded_channel();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(Server { gone: gone.clone() });
            let builder = http2::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            connections.spawn(async move {
                let _ended = connection.await;
            });
        }
    });
    Endpoints {
        port,
        gone: told,
        _task: task,
    }
}

struct World {
    _folder: tempfile::TempDir,
    endpoint: Endpoints,
    proxy: Program,
    grpc: client::Grpc<Channel>,
}

impl World {
    async fn new() -> Self {
        let endpoint = endpoint().await;
        let port = endpoint.port;
        let (folder, path) = file(&format!(
            "access_log = \"off\"
             [admin]\naddress = \"127.0.0.1:0\"
             [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
             [[upstream]]\nname = \"app\"
             [[upstream.endpoint]]\naddress = \"127.0.0.1:{port}\"
             [upstream.connections]\nprotocol = \"http2\"
             [upstream.retry]\ngrpc_timeout = true\n",
        ));
        let proxy = Program::start(["--config".as_ref(), path.as_os_str()], true).await;
        let channel = Endpoint::from_shared(format!("http://{}", proxy.proxy())).unwrap();
        let mut grpc = client::Grpc::new(soon(channel.connect()).await.unwrap());
        soon(grpc.ready()).await.unwrap();
        Self {
            _folder: folder,
            endpoint,
            proxy,
            grpc,
        }
    }

    async fn unary(&mut self, message: &'static str) -> Result<tonic::Response<Bytes>, Status> {
        let mut request = tonic::Request::new(Bytes::from_static(message.as_bytes()));
        let key = MetadataValue::from_bytes(b"\x00\xff");
        request.metadata_mut().insert_bin("x-key-bin", key);
        let path = PathAndQuery::from_static("/test.Test/Unary");
        soon(self.grpc.ready()).await.unwrap();
        soon(self.grpc.unary(request, path, Plain)).await
    }

    /// A call whose messages go through the sender.
    async fn talk(&mut self) -> (mpsc::UnboundedSender<Bytes>, Streaming<Bytes>) {
        let (sender, messages) = mpsc::unbounded_channel();
        let request = tonic::Request::new(UnboundedReceiverStream::new(messages));
        let path = PathAndQuery::from_static("/test.Test/Talk");
        soon(self.grpc.ready()).await.unwrap();
        let replies = soon(self.grpc.streaming(request, path, Plain))
            .await
            .unwrap();
        (sender, replies.into_inner())
    }

    /// Waits until nothing is under way any more.
    async fn rests(&self) {
        let in_flight = async || {
            let state = self.proxy.state("/upstreams/app").await;
            let endpoint = &state["endpoints"][0];
            (
                endpoint["in_flight"].as_u64().unwrap(),
                endpoint["connections"]["streams"].as_u64().unwrap(),
            )
        };
        soon(async { while in_flight().await != (0, 0) {} }).await;
    }
}

#[tokio::test]
async fn a_call_has_its_message_and_metadata_both_ways() {
    let mut world = World::new().await;
    for _ in 0..3 {
        let reply = world.unary("hello").await.unwrap();
        let key = reply.metadata().get_bin("x-key-bin").unwrap();
        assert_eq!(key.to_bytes().unwrap(), &b"\x00\xff"[..]);
        assert_eq!(reply.into_inner(), "hello");
    }
    world.rests().await;
}

#[tokio::test]
async fn a_deadline_is_passed_on_and_ends_the_call_on_both_sides() {
    let mut world = World::new().await;
    let mut request = tonic::Request::new(Bytes::from_static(b"hello"));
    request.set_timeout(DEADLINE);
    let path = PathAndQuery::from_static("/test.Test/Wait");
    let waiting = world.grpc.unary::<_, Bytes, _>(request, path, Plain);
    // The client of tonic looks at its own clock as well.
    let status = soon(waiting).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status:?}"
    );
    assert_eq!(soon(world.endpoint.gone.recv()).await, Some("told"));
    world.rests().await;
}

#[tokio::test]
async fn an_error_comes_as_it_was_said_also_where_there_is_nothing_else() {
    let mut world = World::new().await;
    // Trailers only.
    let status = world.unary("refuse").await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "not \u{fc}ber today");
    assert_eq!(status.metadata().get("x-why").unwrap(), "closed");
    // After messages.
    let (sender, mut replies) = world.talk().await;
    sender.send(Bytes::from_static(b"one")).unwrap();
    assert_eq!(soon(replies.message()).await.unwrap().unwrap(), "one");
    sender.send(Bytes::from_static(b"fail")).unwrap();
    let status = soon(replies.message()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Aborted, "as asked")
    );
    world.rests().await;
}

#[tokio::test]
async fn both_sides_stream_at_the_same_time() {
    let mut world = World::new().await;
    let (sender, mut replies) = world.talk().await;
    for number in 0..100 {
        let message = Bytes::from(format!("message {number}").repeat(number * 10 + 1));
        sender.send(message.clone()).unwrap();
        assert_eq!(soon(replies.message()).await.unwrap().unwrap(), message);
    }
    // The client has said all; what is on the way still comes.
    sender.send(Bytes::from_static(b"last")).unwrap();
    drop(sender);
    assert_eq!(soon(replies.message()).await.unwrap().unwrap(), "last");
    assert!(soon(replies.message()).await.unwrap().is_none());
    world.rests().await;
}

#[tokio::test]
async fn a_large_message_passes_whole() {
    let mut world = World::new().await;
    let (sender, mut replies) = world.talk().await;
    let message = Bytes::from(vec![b'x'; 3 << 20]);
    sender.send(message.clone()).unwrap();
    assert_eq!(soon(replies.message()).await.unwrap().unwrap(), message);
}

#[tokio::test]
async fn an_endpoint_hears_at_once_of_a_call_that_is_cancelled() {
    let mut world = World::new().await;
    let (sender, mut replies) = world.talk().await;
    sender.send(Bytes::from_static(b"hang")).unwrap();
    assert_eq!(soon(replies.message()).await.unwrap().unwrap(), "hang");
    drop((sender, replies));
    assert_eq!(soon(world.endpoint.gone.recv()).await, Some("cancelled"));
    world.rests().await;
    // Other calls share the connection, and go on.
    assert!(world.unary("hello").await.is_ok());
}
