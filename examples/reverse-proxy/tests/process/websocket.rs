//! WebSockets as a library speaks them, over both versions of HTTP.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_async, client_async,
    tungstenite::{
        Error, Message,
        protocol::{
            CloseFrame, Role,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use super::{
    http2::{self, Sender},
    program::{Program, file, soon},
};

/// What a WebSocket of either version goes over.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Near = WebSocketStream<Box<dyn Io>>;

type Far = WebSocketStream<TcpStream>;

/// What clients speak.
#[derive(Clone, Copy, Debug)]
enum Version {
    Http1,
    Http2,
}

const BOTH: [Version; 2] = [Version::Http1, Version::Http2];

/// A proxy and the endpoints `a` and `b`.
struct World {
    proxy: Program,
    endpoints: [TcpListener; 2],
    /// For clients of HTTP/2, all on one connection.
    sender: Sender,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (a, b) = tokio::join!(TcpListener::bind(any), TcpListener::bind(any));
        let endpoints = [a.unwrap(), b.unwrap()];
        let [a, b] = endpoints.each_ref().map(|l| l.local_addr().unwrap());
        let (folder, path) = file(&format!(
            "access_log = \"off\"
             [[listener]]\naddress = \"127.0.0.1:0\"\nupstream = \"app\"
             [admin]\naddress = \"127.0.0.1:0\"
             [[upstream]]\nname = \"app\"
             [[upstream.endpoint]]\naddress = \"{a}\"\nid = \"a\"
             [[upstream.endpoint]]\naddress = \"{b}\"\nid = \"b\"\n"
        ));
        let arguments = ["--config".as_ref(), path.as_os_str()];
        let proxy = Program::start(arguments, true).await;
        let mut sender = http2::client(&proxy).await;
        // The answer to anything comes after the settings that allow an extended CONNECT.
        let refused = http2::get(&mut sender, "*").await;
        assert_eq!(refused.status(), 400);
        Self {
            proxy,
            endpoints,
            sender,
            _folder: folder,
        }
    }

    /// A WebSocket from end to end, and which endpoint has it.
    async fn open(&mut self, version: Version) -> (Near, Far, usize) {
        let [a, b] = &self.endpoints;
        let accept = async {
            let ((stream, _), endpoint) = tokio::select! {
                accepted = a.accept() => (accepted.unwrap(), 0),
                accepted = b.accept() => (accepted.unwrap(), 1),
            };
            (accept_async(stream).await.unwrap(), endpoint)
        };
        let (address, sender) = (self.proxy.proxy(), &mut self.sender);
        let connect = async {
            match version {
                Version::Http1 => {
                    let stream = TcpStream::connect(address).await.unwrap();
                    let io: Box<dyn Io> = Box::new(stream);
                    client_async("ws://app.test/chat", io).await.unwrap().0
                }
                Version::Http2 => {
                    let request = http2::extended_connect("websocket");
                    let answer = sender.send_request(request).await.unwrap();
                    assert_eq!(answer.status(), 200);
                    let upgraded = hyper::upgrade::on(answer).await.unwrap();
                    let io: Box<dyn Io> = Box::new(TokioIo::new(upgraded));
                    WebSocketStream::from_raw_socket(io, Role::Client, None).await
                }
            }
        };
        let (near, (far, endpoint)) = soon(async { tokio::join!(connect, accept) }).await;
        (near, far, endpoint)
    }

    async fn state(&self) -> serde_json::Value {
        self.proxy.state("/upstreams/app").await
    }
}

/// Sends `message` from one end, and takes it at the other.
async fn pass<S, T>(
    from: &mut WebSocketStream<S>,
    to: &mut WebSocketStream<T>,
    message: impl Into<Message>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let message = message.into();
    // Both at a time: the message may be larger than what is kept on the way.
    let (sent, got) = soon(async { tokio::join!(from.send(message.clone()), to.next()) }).await;
    sent.unwrap();
    assert!(got.unwrap().unwrap() == message);
}

/// What comes next.
async fn next<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Message {
    soon(socket.next()).await.unwrap().unwrap()
}

/// That nothing more comes, and no error.
async fn is_over<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    assert!(soon(socket.next()).await.is_none());
}

#[tokio::test]
async fn messages_pass_whole_in_both_directions() {
    let mut world = World::new().await;
    for version in BOTH {
        let (mut near, mut far, _) = world.open(version).await;
        let large = vec![7; 3 << 20];
        pass(&mut near, &mut far, "text: ä").await;
        pass(&mut far, &mut near, "").await;
        pass(&mut near, &mut far, large.clone()).await;
        pass(&mut far, &mut near, large.clone()).await;
        // In fragments, with a ping between them.
        let (first, rest) = large.split_at(1 << 20);
        let (middle, last) = rest.split_at(1);
        let fragments = [
            (first, OpCode::Data(Data::Binary), false),
            (middle, OpCode::Data(Data::Continue), false),
            (last, OpCode::Data(Data::Continue), true),
        ];
        let send = async {
            for (piece, code, is_last) in fragments {
                let frame = Frame::message(piece.to_vec(), code, is_last);
                near.send(Message::Frame(frame)).await.unwrap();
                if !is_last {
                    near.send(Message::Ping("still".into())).await.unwrap();
                }
            }
        };
        let take = async {
            let mut got = [far.next().await, far.next().await, far.next().await];
            assert_eq!(
                got[0].take().unwrap().unwrap(),
                Message::Ping("still".into())
            );
            assert_eq!(
                got[1].take().unwrap().unwrap(),
                Message::Ping("still".into())
            );
            assert!(got[2].take().unwrap().unwrap().into_data() == large);
        };
        soon(async { tokio::join!(send, take) }).await;
        // The answers to the pings, which went out by themselves.
        for _ in 0..2 {
            let pong = next(&mut near).await;
            assert_eq!(pong, Message::Pong("still".into()), "{version:?}");
        }
        pass(&mut far, &mut near, Message::Ping("and you?".into())).await;
        near.flush().await.unwrap();
        assert_eq!(next(&mut far).await, Message::Pong("and you?".into()));
    }
}

#[tokio::test]
async fn either_end_closes_and_the_other_answers() {
    let mut world = World::new().await;
    for version in BOTH {
        let bye = CloseFrame {
            code: CloseCode::Away,
            reason: "bye".into(),
        };
        let (mut near, mut far, _) = world.open(version).await;
        near.close(Some(bye.clone())).await.unwrap();
        assert_eq!(next(&mut far).await, Message::Close(Some(bye.clone())));
        let (near_end, ()) = tokio::join!(next(&mut near), is_over(&mut far));
        assert_eq!(near_end, Message::Close(Some(bye.clone())));
        // It is for the server to close the connection.
        drop(far);
        is_over(&mut near).await;

        let (mut near, mut far, _) = world.open(version).await;
        far.close(Some(bye.clone())).await.unwrap();
        assert_eq!(next(&mut near).await, Message::Close(Some(bye.clone())));
        // The library answers when it is next asked for something.
        near.flush().await.unwrap();
        assert_eq!(next(&mut far).await, Message::Close(Some(bye)));
        drop(far);
        is_over(&mut near).await;
    }
    while in_flight(&world.state().await) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_says_no_more_still_hears() {
    let mut world = World::new().await;
    for version in BOTH {
        let (mut near, mut far, _) = world.open(version).await;
        pass(&mut near, &mut far, "all").await;
        near.get_mut().shutdown().await.unwrap();
        let end = soon(far.next()).await.unwrap();
        assert!(
            matches!(end, Err(Error::Protocol(_))),
            "{version:?}: {end:?}"
        );
        // The library takes nothing from here on: a text of four bytes, by hand.
        far.get_mut().write_all(b"\x81\x04last").await.unwrap();
        assert_eq!(next(&mut near).await, Message::text("last"));
    }
}

#[tokio::test]
async fn the_end_of_an_endpoint_is_the_end_of_its_websockets() {
    let mut world = World::new().await;
    for version in BOTH {
        let (mut near, mut far, _) = world.open(version).await;
        pass(&mut near, &mut far, "hello").await;
        drop(far);
        let end = soon(near.next()).await.unwrap();
        assert!(end.is_err(), "{version:?}: {end:?}");
        // The connection of a client of HTTP/2 goes on.
        let (mut near, mut far, _) = world.open(version).await;
        pass(&mut near, &mut far, "again").await;
    }
}

#[tokio::test]
async fn a_drain_waits_for_websockets_and_new_ones_go_elsewhere() {
    let mut world = World::new().await;
    for version in BOTH {
        let (mut near, mut far, endpoint) = world.open(version).await;
        let id = ["a", "b"][endpoint];
        let drain = format!("/upstreams/app/endpoints/{id}/drain?wait=0");
        let (status, report) = world.proxy.order("POST", &drain, "").await;
        assert_eq!((status, &report["drained"]), (200, &false.into()));
        pass(&mut near, &mut far, "still here").await;
        pass(&mut far, &mut near, "so am I").await;
        for _ in 0..3 {
            let (_near, _far, other) = world.open(version).await;
            assert_ne!(other, endpoint);
        }
        near.close(None).await.unwrap();
        assert!(next(&mut far).await.is_close());
        is_over(&mut far).await;
        drop((near, far));
        let drain = format!("/upstreams/app/endpoints/{id}/drain?wait=60");
        let (status, report) = soon(world.proxy.order("POST", &drain, "")).await;
        assert_eq!((status, &report["drained"]), (200, &true.into()));
        let undrain = format!("/upstreams/app/endpoints/{id}/undrain");
        assert_eq!(world.proxy.order("POST", &undrain, "").await.0, 200);
    }
}

/// How many requests are in flight, as the administration tells.
fn in_flight(state: &serde_json::Value) -> u64 {
    let endpoints = state["endpoints"].as_array().unwrap();
    endpoints
        .iter()
        .map(|e| e["in_flight"].as_u64().unwrap())
        .sum()
}
